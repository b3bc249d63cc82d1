package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.util.zip.CRC32;

/** Checks what the JDK's PNG decoder does not: that every chunk is whole and its checksum right. */
final class PngChunks {
  private static final long SIGNATURE = 0x89504E470D0A1A0AL;
  private static final int IEND = 0x49454E44;
  private static final int IHDR = 0x49484452;
  private static final int IDAT = 0x49444154;

  /** How many bytes deflate makes of one at most. */
  private static final long MOST_INFLATION = 1032;

  private static final int EXIF = 0x65584966;

  private PngChunks() {}

  static boolean isPng(byte[] content) {
    return content.length >= 8 && ByteBuffer.wrap(content).getLong() == SIGNATURE;
  }

  /**
   * Walks all chunks.
   *
   * @return Exif's orientation, 1 to 8
   * @throws BadImageException where a chunk is cut off or damaged, or the last one is missing
   */
  static int check(byte[] content) throws BadImageException {
    ByteBuffer file = ByteBuffer.wrap(content);
    int orientation = 1;
    long data = 0;
    int at = 8;
    while (at <= content.length - 12) {
      int length = file.getInt(at);
      if (length < 0 || length > content.length - 12 - at) {
        break;
      }
      CRC32 crc = new CRC32();
      crc.update(content, at + 4, length + 4);
      if ((int) crc.getValue() != file.getInt(at + 8 + length)) {
        throw new BadImageException(
            "is a corrupt PNG: a chunk's checksum at byte " + at + " is wrong");
      }
      int type = file.getInt(at + 4);
      if (type == EXIF) {
        orientation = ExifOrientation.of(file.slice(at + 8, length));
      }
      if (type == IDAT) {
        data += length;
      }
      if (type == IEND) {
        requireHeld(file, data);
        return orientation;
      }
      at += 12 + length;
    }
    throw new BadImageException("is a truncated PNG");
  }

  /**
   * Refuses more pixels than the data can hold: the decoder would take memory for all of them
   * before it finds out.
   */
  private static void requireHeld(ByteBuffer file, long data) throws BadImageException {
    if (file.getInt(8) != 13 || file.getInt(12) != IHDR) {
      throw new BadImageException("is a corrupt PNG: it does not begin with its header");
    }
    long width = Integer.toUnsignedLong(file.getInt(16));
    long height = Integer.toUnsignedLong(file.getInt(20));
    ImageFileDecoder.requireReasonable(height, width);
    int samples =
        switch (file.get(25)) {
          case 2 -> 3;
          case 4 -> 2;
          case 6 -> 4;
          default -> 1;
        };
    long needed = width * height * samples * Byte.toUnsignedInt(file.get(24)) / 8;
    if (needed > (data + 1) * MOST_INFLATION) {
      throw new BadImageException(
          "is a truncated PNG: its "
              + data
              + " bytes of data cannot hold "
              + width
              + " x "
              + height
              + " pixels");
    }
  }
}
