package io.fbnet.nas.data;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * What stands before a JPEG's image data: the number of components and Exif's orientation. Also
 * gives the file without the segments that have no bearing on pixels: damaged colour profiles and
 * thumbnails make the JDK's decoder refuse images that every other program shows.
 */
final class JpegSegments {
  private static final byte[] EXIF = "Exif\0\0".getBytes(StandardCharsets.ISO_8859_1);

  private final byte[] content;
  private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
  private int components;
  private int orientation = 1;

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
    return kept.toByteArray();
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
      int length = (content[at + 2] & 255) << 8 | (content[at + 3] & 255);
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

  private void read(int marker, int at, int length) {
    boolean frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && length >= 6) {
      components = content[at + 5] & 255;
    }
    if (marker == 0xE1 && startsWith(EXIF, at, length)) {
      orientation =
          ExifOrientation.of(ByteBuffer.wrap(content, at + EXIF.length, length - EXIF.length));
    }
  }

  /** Of the application segments only JFIF (0) and Adobe (14) tell how colours are coded. */
  private static boolean bearsOnPixels(int marker) {
    boolean application = marker >= 0xE1 && marker <= 0xEF && marker != 0xEE;
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
