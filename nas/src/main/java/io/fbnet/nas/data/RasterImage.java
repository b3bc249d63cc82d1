package io.fbnet.nas.data;

/** One decoded image of any size: unsigned bytes, one grey plane or three colour planes (CHW). */
final class RasterImage {
  final int channels;
  final int height;
  final int width;
  final byte[] planes;

  RasterImage(int channels, int height, int width, byte[] planes) {
    this.channels = channels;
    this.height = height;
    this.width = width;
    this.planes = planes;
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
    int outHeight = turned ? width : height;
    int outWidth = turned ? height : width;
    int plane = height * width;
    byte[] out = new byte[planes.length];
    for (int y = 0; y < outHeight; y++) {
      for (int x = 0; x < outWidth; x++) {
        int row = turned ? x : y;
        int column = turned ? y : x;
        if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
          row = height - 1 - row;
        }
        if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
          column = width - 1 - column;
        }
        for (int c = 0; c < channels; c++) {
          out[c * plane + y * outWidth + x] = planes[c * plane + row * width + column];
        }
      }
    }
    return new RasterImage(channels, outHeight, outWidth, out);
  }

  /** The luma (Rec. 601) of a colour image; a grey one as it is. */
  RasterImage grey() {
    if (channels == 1) {
      return this;
    }
    int plane = height * width;
    byte[] out = new byte[plane];
    for (int p = 0; p < plane; p++) {
      int r = planes[p] & 255;
      int g = planes[plane + p] & 255;
      int b = planes[2 * plane + p] & 255;
      out[p] = (byte) ((r * 19595 + g * 38470 + b * 7471 + 32768) >> 16);
    }
    return new RasterImage(1, height, width, out);
  }
}
