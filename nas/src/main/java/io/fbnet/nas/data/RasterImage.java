package io.fbnet.nas.data;

/**
 * One decoded image of any size, channel by channel (CHW): unsigned bytes, or numbers where it has
 * more than eight bits and is to keep them.
 */
final class RasterImage {
  private static final byte[] NO_BYTES = {};
  private static final float[] NO_NUMBERS = {};

  final int channels;
  final int height;
  final int width;

  /** Empty where there are numbers. */
  final byte[] planes;

  /** From 0 to 1, but of arrays of floats as they are; empty where there are bytes. */
  final float[] numbers;

  private RasterImage(int channels, int height, int width, byte[] planes, float[] numbers) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.planes = planes;
    this.numbers = numbers;
  }

  RasterImage(int channels, int height, int width, byte[] planes) {
    this(channels, height, width, planes, NO_NUMBERS);
  }

  RasterImage(int channels, int height, int width, float[] numbers) {
    this(channels, height, width, NO_BYTES, numbers);
  }

  /** An image of as many zeros. */
  static RasterImage empty(int channels, int height, int width, boolean deep) {
    int count = channels * height * width;
    return deep
        ? new RasterImage(channels, height, width, new float[count])
        : new RasterImage(channels, height, width, new byte[count]);
  }

  /** Whether it has numbers. */
  boolean isDeep() {
    return numbers.length > 0;
  }

  /** Copies a row, of bytes from 0 to 255. */
  void row(int channel, int y, float[] to) {
    int from = (channel * height + y) * width;
    if (isDeep()) {
      System.arraycopy(numbers, from, to, 0, width);
      return;
    }
    for (int x = 0; x < width; x++) {
      to[x] = planes[from + x] & 255;
    }
  }

  private void set(int at, RasterImage from, int place) {
    if (isDeep()) {
      numbers[at] = from.numbers[place];
    } else {
      planes[at] = from.planes[place];
    }
  }

  /**
   * Turns the image the way its camera was held.
   *
   * @param orientation Exif's 1 to 8; 1 changes nothing
   */
  RasterImage oriented(int orientation) {
    if (orientation <= 1 || orientation > 8) {
      return this;
    }
    boolean turned = orientation >= 5;
    RasterImage out = empty(channels, turned ? width : height, turned ? height : width, isDeep());
    int plane = height * width;
    for (int y = 0; y < out.height; y++) {
      for (int x = 0; x < out.width; x++) {
        int row = turned ? x : y;
        int column = turned ? y : x;
        if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
          row = height - 1 - row;
        }
        if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
          column = width - 1 - column;
        }
        for (int c = 0; c < channels; c++) {
          out.set(c * plane + y * out.width + x, this, c * plane + row * width + column);
        }
      }
    }
    return out;
  }

  /** The luma (Rec. 601) of a colour image; a grey one as it is. */
  RasterImage grey() {
    if (channels == 1) {
      return this;
    }
    int plane = height * width;
    RasterImage out = empty(1, height, width, isDeep());
    for (int p = 0; p < plane; p++) {
      if (isDeep()) {
        out.numbers[p] =
            (numbers[p] * 19595 + numbers[plane + p] * 38470 + numbers[2 * plane + p] * 7471)
                / 65536;
      } else {
        int r = planes[p] & 255;
        int g = planes[plane + p] & 255;
        int b = planes[2 * plane + p] & 255;
        out.planes[p] = (byte) ((r * 19595 + g * 38470 + b * 7471 + 32768) >> 16);
      }
    }
    return out;
  }
}
