package io.fbnet.nas.data;

/**
 * The size of every image of a set, written {@code 3x32x32}, or {@code 3x32x32 f32}.
 *
 * @param channels 1 (grey), 3 (red, green, blue), or as many as arrays and TIFF files have
 * @param height pixels
 * @param width pixels
 * @param pixels how they are kept
 */
public record ImageShape(int channels, int height, int width, PixelType pixels) {
  /** Numbers of the largest image: as floats it just fits an array of bytes. */
  public static final int MOST_ELEMENTS = Integer.MAX_VALUE / Float.BYTES;

  /** As many as a search space may take. */
  private static final int MOST_CHANNELS = 1024;

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if there are no channels or more than 1024, a side is below 1
   *     pixel, or an image has 2^29 elements or more
   */
  public ImageShape {
    if (channels < 1 || channels > MOST_CHANNELS) {
      throw new IllegalArgumentException("channels must be 1 to 1024, not " + channels);
    }
    if (height < 1 || width < 1 || (long) height * width > MOST_ELEMENTS / channels) {
      throw new IllegalArgumentException("no such image size: " + height + "x" + width);
    }
  }

  /**
   * Images of bytes.
   *
   * @param channels how many
   * @param height pixels
   * @param width pixels
   * @throws IllegalArgumentException where there are no such images
   */
  public ImageShape(int channels, int height, int width) {
    this(channels, height, width, PixelType.U8);
  }

  /**
   * {@return the same size with pixels kept otherwise}
   *
   * @param kept how
   */
  public ImageShape with(PixelType kept) {
    return new ImageShape(channels, height, width, kept);
  }

  /** {@return numbers of one image} */
  public int elements() {
    return channels * height * width;
  }

  /** {@return bytes of one image} */
  public int bytes() {
    return elements() * pixels.bytes();
  }

  /** Whether photographs fit, which are grey or have three colours. */
  boolean takesPhotographs() {
    return channels == 1 || channels == 3;
  }

  @Override
  public String toString() {
    return channels + "x" + height + "x" + width + (pixels == PixelType.F32 ? " f32" : "");
  }
}
