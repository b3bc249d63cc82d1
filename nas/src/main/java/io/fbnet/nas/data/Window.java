package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;

/**
 * The part of an image that a network sees: as large as the image, and moved.
 *
 * @param down pixels by which it lies below the image; negative: above
 * @param right pixels by which it lies to the right of the image; negative: to the left
 * @param mirrored whether it is seen mirrored left to right
 */
record Window(int down, int right, boolean mirrored) {
  /** Bytes of one in a batch: three 32-bit integers. */
  static final int BYTES = 3 * Integer.BYTES;

  /** The image as it is. */
  static final Window WHOLE = new Window(0, 0, false);

  /**
   * The window that words 1 to 3 of a draw give.
   *
   * @param padding by how many pixels it may move to each side
   * @param flip whether it may be mirrored
   */
  static Window drawn(Philox words, int padding, boolean flip) {
    return new Window(
        Philox.below(words.w1, 2 * padding + 1) - padding,
        Philox.below(words.w2, 2 * padding + 1) - padding,
        flip && words.w3 < 0);
  }

  /** Writes the window of image {@code i} of a batch. */
  void writeTo(MemorySegment windows, int i) {
    long at = (long) i * BYTES;
    windows.set(JAVA_INT, at, down);
    windows.set(JAVA_INT, at + 4, right);
    windows.set(JAVA_INT, at + 8, mirrored ? 1 : 0);
  }
}
