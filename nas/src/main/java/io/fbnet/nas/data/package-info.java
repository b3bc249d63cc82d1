/**
 * Images from disk to off-heap batches: readers, a checked cache of decoded pixels, splits and the
 * prefetching loader. Pixels are unsigned 8-bit, channel planes first (CHW), until the loader
 * normalises them to float32.
 */
package io.fbnet.nas.data;
