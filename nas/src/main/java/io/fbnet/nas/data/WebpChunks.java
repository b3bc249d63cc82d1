package io.fbnet.nas.data;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import javax.imageio.IIOException;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/** Checks of a WebP file what its decoder does not: that it is whole, one image, and no trap. */
final class WebpChunks {
  private static final int RIFF = 0x46464952;
  private static final int WEBP = 0x50424557;
  private static final int VP8 = 0x20385056;
  private static final int VP8L = 0x4C385056;
  private static final int VP8X = 0x58385056;
  private static final int EXIF = 0x46495845;
  private static final int ANIMATED = 2;

  /** Flat images take hardly a byte, whatever their size, so small sizes are taken as they are. */
  private static final long FREE_PIXELS = 1 << 20;

  private static final long MOST_PIXELS_PER_BYTE = 4096;

  /**
   * How often a decoder may ask for what is behind the end: it reads eight bytes ahead, and so does
   * before it has used the last ones bit by bit.
   */
  private static final int MOST_ENDS = 512;

  private WebpChunks() {}

  /** A file for a decoder that takes what is missing at its end for zeros, without end. */
  static ImageInputStream stream(byte[] content) {
    return new MemoryCacheImageInputStream(new ByteArrayInputStream(content)) {
      private int ends;

      @Override
      public int read() throws IOException {
        return counted(super.read());
      }

      @Override
      public int read(byte[] to, int from, int length) throws IOException {
        return counted(super.read(to, from, length));
      }

      private int counted(int found) throws IIOException {
        if (found < 0 && ++ends > MOST_ENDS) {
          throw new IIOException("it ends early");
        }
        return found;
      }
    };
  }

  static boolean isWebp(byte[] content) {
    return content.length >= 12
        && little(content).getInt(0) == RIFF
        && little(content).getInt(8) == WEBP;
  }

  private static ByteBuffer little(byte[] content) {
    return ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
  }

  /**
   * Walks all chunks.
   *
   * @return Exif's orientation, 1 to 8
   */
  static int check(byte[] content) throws BadImageException {
    ByteBuffer file = little(content);
    long end = Integer.toUnsignedLong(file.getInt(4)) + 8;
    if (end > content.length) {
      throw new BadImageException("is a truncated WebP");
    }
    int orientation = 1;
    long pixels = 0;
    long most = FREE_PIXELS + MOST_PIXELS_PER_BYTE * content.length;
    int at = 12;
    while (at + 8 <= end) {
      long length = Integer.toUnsignedLong(file.getInt(at + 4));
      if (length > end - at - 8) {
        throw new BadImageException("is a truncated WebP");
      }
      int type = file.getInt(at);
      if (type == VP8X && length >= 10 && (file.get(at + 8) & ANIMATED) != 0) {
        throw new BadImageException("is an animated WebP; save one of its pictures");
      }
      long found = pixels(file, at, type, length);
      if (found > most) {
        throw new BadImageException(
            "is a truncated WebP: its "
                + content.length
                + " bytes cannot hold "
                + found
                + " pixels");
      }
      pixels += type == VP8X ? 0 : found;
      if (type == EXIF) {
        // Some write the mark that a JPEG's segment has.
        ByteBuffer exif = file.slice(at + 8, (int) length);
        boolean marked = length >= 6 && exif.get(0) == 'E' && exif.get(1) == 'x';
        orientation = ExifOrientation.of(marked ? exif.slice(6, (int) length - 6) : exif);
      }
      at = Math.toIntExact(at + 8 + length + (length & 1));
    }
    if (pixels == 0) {
      throw new BadImageException("is a corrupt WebP: it holds no image");
    }
    return orientation;
  }

  /** Width by height that a chunk says, 0 where it is none that does. */
  private static long pixels(ByteBuffer file, int at, int type, long length) {
    int data = at + 8;
    if (type == VP8X && length >= 10) {
      long width = (file.getInt(data + 4) & 0xFFFFFF) + 1L;
      return width * ((file.getInt(data + 6) >>> 8) + 1L);
    }
    if (type == VP8 && length >= 10) {
      return (file.getChar(data + 6) & 0x3FFF) * (file.getChar(data + 8) & 0x3FFFL);
    }
    if (type == VP8L && length >= 5) {
      int sizes = file.getInt(data + 1);
      return ((sizes & 0x3FFF) + 1L) * ((sizes >>> 14 & 0x3FFF) + 1L);
    }
    return 0;
  }
}
