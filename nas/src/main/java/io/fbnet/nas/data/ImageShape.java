package io.fbnet.nas.data;

/**
 * The size of every image of a set, written {@code 3x32x32}.
 *
 * @param channels 1 (grey) or 3 (red, green, blue)
 * @param height pixels
 * @param width pixels
 */
public record ImageShape(int channels, int height, int width) {
  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if channels are not 1 or 3, a side is below 1 pixel, or an
   *     image has 2^29 elements or more
   */
  public ImageShape {
    if (channels != 1 && channels != 3) {
      throw new IllegalArgumentException("channels must be 1 or 3, not " + channels);
    }
    if (height < 1 || width < 1 || (long) channels * height * width > Integer.MAX_VALUE / 4) {
      throw new IllegalArgumentException("no such image size: " + height + "x" + width);
    }
  }

  /** {@return elements of one image; also its bytes while pixels are 8-bit} */
  public int elements() {
    return channels * height * width;
  }

  @Override
  public String toString() {
    return channels + "x" + height + "x" + width;
  }
}
