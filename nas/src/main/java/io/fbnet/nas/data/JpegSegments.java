package io.fbnet.nas.data;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/**
 * What stands before a JPEG's image data: the number of components and Exif's orientation. Also
 * gives the file without the segments that have no bearing on pixels: damaged colour profiles and
 * thumbnails make the JDK's decoder refuse images that every other program shows.
 *
 * <p>How three components code colours is not written in one place. The JDK's decoder takes them
 * for red, green and blue where there is neither JFIF nor Adobe segment and the components have
 * unusual numbers and one size. Here the rule is the one by which other programs read: JFIF means
 * YCbCr, else Adobe's transform tells, else components called R, G and B are what they say, and all
 * others are YCbCr. The file that is given says so in one segment of its own.
 */
final class JpegSegments {
  private static final byte[] EXIF = "Exif\0\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] JFIF = "JFIF\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] ADOBE = "Adobe".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] RGB = "RGB".getBytes(StandardCharsets.ISO_8859_1);

  /**
   * What begins a file whose three components are YCbCr: version 1.1, square pixels, no preview.
   */
  private static final byte[] YCBCR_SEGMENT =
      HexFormat.of().parseHex("ffe000104a46494600010100000100010000");

  /** The same where they are red, green and blue: Adobe's transform 0. */
  private static final byte[] RGB_SEGMENT =
      HexFormat.of().parseHex("ffee000e41646f626500640000000000");

  private final byte[] content;
  private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
  private long pixels;
  private int components;
  private int orientation = 1;
  private boolean jfif;

  /** Adobe's 0, 1 or 2; -1 without its segment. */
  private int transform = -1;

  private boolean namedRgb;

  private JpegSegments(byte[] content) {
    this.content = content;
  }

  static JpegSegments scan(byte[] content) throws BadImageException {
    JpegSegments segments = new JpegSegments(content);
    segments.walk();
    return segments;
  }

  static boolean isJpeg(byte[] content) {
    return content.length > 2
        && (content[0] & 255) == 0xFF
        && (content[1] & 255) == 0xD8
        && (content[2] & 255) == 0xFF;
  }

  /** Height by width. */
  long pixels() {
    return pixels;
  }

  /** 1 grey, 3 colour, 4 CMYK. */
  int components() {
    return components;
  }

  /** Exif's 1 to 8. */
  int orientation() {
    return orientation;
  }

  /** The file with nothing but what its pixels need. */
  byte[] stripped() {
    byte[] rest = kept.toByteArray();
    if (components != 3) {
      return rest;
    }
    byte[] segment = codesRgb() ? RGB_SEGMENT : YCBCR_SEGMENT;
    return ByteBuffer.allocate(rest.length + segment.length)
        .put(rest, 0, 2)
        .put(segment)
        .put(rest, 2, rest.length - 2)
        .array();
  }

  private boolean codesRgb() {
    if (jfif) {
      return false;
    }
    return transform >= 0 ? transform == 0 : namedRgb;
  }

  private void walk() throws BadImageException {
    kept.write(content, 0, 2);
    int at = 2;
    while (at + 4 <= content.length) {
      if ((content[at] & 255) != 0xFF) {
        throw new BadImageException("is a corrupt JPEG: no marker at byte " + at);
      }
      int marker = content[at + 1] & 255;
      if (marker == 0xFF) {
        // A fill byte.
        at++;
        continue;
      }
      int length = number(at + 2);
      if (length < 2 || at + 2 + length > content.length) {
        break;
      }
      if (marker == 0xDA) {
        kept.write(content, at, content.length - at);
        return;
      }
      read(marker, at + 4, length - 2);
      if (bearsOnPixels(marker)) {
        kept.write(content, at, 2 + length);
      }
      at += 2 + length;
    }
    throw new BadImageException("is a truncated JPEG: it ends before its image data");
  }

  private int number(int at) {
    return (content[at] & 255) << 8 | (content[at + 1] & 255);
  }

  private void read(int marker, int at, int length) {
    boolean frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && length >= 6) {
      pixels = (long) number(at + 1) * number(at + 3);
      components = content[at + 5] & 255;
      namedRgb = components == 3 && length >= 15;
      for (int c = 0; namedRgb && c < 3; c++) {
        namedRgb = content[at + 6 + 3 * c] == RGB[c];
      }
    }
    jfif |= marker == 0xE0 && length >= 14 && startsWith(JFIF, at, length);
    if (marker == 0xEE && length >= 12 && startsWith(ADOBE, at, length)) {
      transform = content[at + 11] & 255;
    }
    if (marker == 0xE1 && startsWith(EXIF, at, length)) {
      orientation =
          ExifOrientation.of(ByteBuffer.wrap(content, at + EXIF.length, length - EXIF.length));
    }
  }

  /** No application's segment and no comment does, once it is known how colours are coded. */
  private static boolean bearsOnPixels(int marker) {
    boolean application = marker >= 0xE0 && marker <= 0xEF;
    return !application && marker != 0xFE;
  }

  private boolean startsWith(byte[] prefix, int at, int length) {
    if (length < prefix.length) {
      return false;
    }
    for (int i = 0; i < prefix.length; i++) {
      if (content[at + i] != prefix[i]) {
        return false;
      }
    }
    return true;
  }
}
