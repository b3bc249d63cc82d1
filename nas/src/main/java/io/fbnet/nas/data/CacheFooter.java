package io.fbnet.nas.data;

import java.util.List;

/**
 * What stands after the pixels of a cache file, as JSON. Offsets are bytes from the file's begin.
 *
 * @param key SHA-256 in hex of all that the content depends on
 * @param trainOffset unsigned bytes, {@code [trainSize, channels, height, width]}
 * @param labelsOffset little-endian int32: the training, then the test labels
 * @param skipped the bad images that were left out
 */
record CacheFooter(
    String key,
    int channels,
    int height,
    int width,
    List<String> classes,
    long trainOffset,
    int trainSize,
    long testOffset,
    int testSize,
    long labelsOffset,
    List<Float> mean,
    List<Float> std,
    String fingerprint,
    List<Problem> skipped) {}
