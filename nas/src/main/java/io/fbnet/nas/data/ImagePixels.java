package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;

/** The pixels of a split's images, by number. May be asked by several threads at once. */
interface ImagePixels {
  /**
   * Copies images.
   *
   * @param numbers of the images, from 0
   * @param to takes pixels as the set keeps them, {@code [numbers.length, channels, height, width]}
   */
  void copy(int[] numbers, MemorySegment to);

  /** Those that lie in memory one behind the other. */
  static ImagePixels in(MemorySegment pixels, long imageBytes) {
    return (numbers, to) -> {
      for (int i = 0; i < numbers.length; i++) {
        MemorySegment.copy(pixels, numbers[i] * imageBytes, to, i * imageBytes, imageBytes);
      }
    };
  }
}
