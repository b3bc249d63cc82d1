package io.fbnet.nas.data;

/** Whole numbers of a file as pixels. */
final class Samples {
  private Samples() {}

  /**
   * Puts a number where it belongs: as a share of the largest, or as a byte of an image of bytes.
   *
   * @param value from 0 to {@code largest}
   */
  static void put(RasterImage image, int at, int value, int largest) {
    if (image.isDeep()) {
      image.numbers[at] = (float) ((double) value / largest);
    } else {
      image.planes[at] = (byte) (((long) value * 255 + largest / 2) / largest);
    }
  }
}
