package io.fbnet.nas.data;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * What stands after the pixels of a cache file, as JSON. Offsets are bytes from the file's begin.
 *
 * @param key SHA-256 in hex of all that the content depends on
 * @param pixels how they are kept; bytes where an older version wrote the file
 * @param trainOffset pixels, {@code [trainSize, channels, height, width]}
 * @param labelsOffset little-endian int32: the training, then the test labels
 * @param skipped the bad images that were left out
 */
record CacheFooter(
    String key,
    int channels,
    int height,
    int width,
    PixelType pixels,
    List<String> classes,
    long trainOffset,
    int trainSize,
    long testOffset,
    int testSize,
    long labelsOffset,
    List<Float> mean,
    List<Float> std,
    String fingerprint,
    List<Problem> skipped) {
  CacheFooter {
    pixels = pixels == null ? PixelType.U8 : pixels;
  }

  /** The size of its images. */
  ImageShape shape() {
    return new ImageShape(channels, height, width, pixels);
  }

  /**
   * Refuses a footer that cannot be one of a file whose images and labels end at this byte.
   *
   * @throws IllegalArgumentException where something is missing or lies outside
   */
  void requireWithin(long end) {
    long image = shape().bytes();
    boolean sound =
        Stream.of(key, classes, mean, std, fingerprint, skipped).allMatch(Objects::nonNull)
            && Stream.of(classes, mean, std, skipped)
                .flatMap(List::stream)
                .allMatch(Objects::nonNull)
            && skipped.stream().allMatch(p -> p.file() != null && p.what() != null)
            && fits(trainOffset, trainSize, image, end)
            && fits(testOffset, testSize, image, end)
            && fits(labelsOffset, trainSize, Integer.BYTES, end)
            && fits(labelsOffset + (long) Integer.BYTES * trainSize, testSize, Integer.BYTES, end);
    if (!sound) {
      throw new IllegalArgumentException("no footer of such a file");
    }
  }

  private static boolean fits(long offset, int count, long bytes, long end) {
    return offset >= CacheFile.PREFIX_BYTES
        && count >= 0
        && offset <= end
        && count * bytes <= end - offset;
  }
}
