package io.fbnet.nas.data;

/** Reads binary PGM (P5) and PPM (P6), 8 or 16 bits a sample. */
final class NetpbmImage {
  private final byte[] content;
  private int at = 2;

  private NetpbmImage(byte[] content) {
    this.content = content;
  }

  static boolean isNetpbm(byte[] content) {
    return content.length > 2 && content[0] == 'P' && content[1] >= '1' && content[1] <= '7';
  }

  /**
   * Reads one.
   *
   * @param deep whether what has more than eight bits keeps them
   */
  static RasterImage read(byte[] content, boolean deep) throws BadImageException {
    char kind = (char) content[1];
    if (kind != '5' && kind != '6') {
      throw new BadImageException(
          "is a Netpbm file of kind P" + kind + "; only binary PGM (P5) and PPM (P6) are read");
    }
    return new NetpbmImage(content).read(kind == '5' ? 1 : 3, deep);
  }

  private RasterImage read(int channels, boolean deep) throws BadImageException {
    int width = number();
    int height = number();
    int maximum = number();
    ImageFileDecoder.requireReasonable(height, width);
    if (maximum < 1 || maximum > 65535) {
      throw new BadImageException("is a corrupt Netpbm file: its largest value is " + maximum);
    }
    // Exactly one white-space byte stands between the header and the samples.
    at++;
    int bytes = maximum > 255 ? 2 : 1;
    int plane = height * width;
    if (content.length - at < (long) plane * channels * bytes) {
      throw new BadImageException("is a truncated Netpbm file");
    }
    RasterImage image = RasterImage.empty(channels, height, width, deep && bytes == 2);
    for (int p = 0; p < plane; p++) {
      for (int c = 0; c < channels; c++) {
        int value = content[at++] & 255;
        if (bytes == 2) {
          value = value << 8 | (content[at++] & 255);
        }
        Samples.put(image, c * plane + p, Math.min(value, maximum), maximum);
      }
    }
    return image;
  }

  private int number() throws BadImageException {
    while (at < content.length && (isSpace(content[at]) || content[at] == '#')) {
      if (content[at] == '#') {
        while (at < content.length && content[at] != '\n') {
          at++;
        }
      } else {
        at++;
      }
    }
    int start = at;
    long value = 0;
    while (at < content.length && content[at] >= '0' && content[at] <= '9' && value < 1 << 28) {
      value = value * 10 + content[at++] - '0';
    }
    if (at == start || at == content.length) {
      throw new BadImageException("is a truncated or corrupt Netpbm file: its header ends early");
    }
    return (int) Math.min(value, Integer.MAX_VALUE);
  }

  private static boolean isSpace(byte b) {
    return b == ' ' || b == '\n' || b == '\r' || b == '\t';
  }
}
