package io.fbnet.nas.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Reads one tag out of an Exif block: how the camera was held. */
final class ExifOrientation {
  private static final int TAG = 0x0112;
  private static final int BYTE = 1;
  private static final int SHORT = 3;
  private static final int LONG = 4;

  private ExifOrientation() {}

  /**
   * The orientation of a TIFF block.
   *
   * @param tiff from its {@code II} or {@code MM} on
   * @return 1 to 8; 1 also where the block is damaged or says nothing
   */
  static int of(ByteBuffer tiff) {
    ByteBuffer block = tiff.slice();
    if (block.remaining() < 8) {
      return 1;
    }
    switch (block.getShort(0)) {
      case 0x4949 -> block.order(ByteOrder.LITTLE_ENDIAN);
      case 0x4D4D -> block.order(ByteOrder.BIG_ENDIAN);
      default -> {
        return 1;
      }
    }
    int directory = block.getInt(4);
    if (block.getShort(2) != 42 || directory < 8 || directory > block.limit() - 2) {
      return 1;
    }
    int entries = Short.toUnsignedInt(block.getShort(directory));
    for (int i = 0; i < entries; i++) {
      int at = directory + 2 + 12 * i;
      if (at > block.limit() - 12) {
        return 1;
      }
      if (Short.toUnsignedInt(block.getShort(at)) == TAG) {
        // The standard says SHORT; some cameras write the same number in another width.
        int value =
            switch (block.getShort(at + 2)) {
              case BYTE -> block.get(at + 8);
              case SHORT -> block.getShort(at + 8);
              case LONG -> block.getInt(at + 8);
              default -> 1;
            };
        return value >= 1 && value <= 8 ? value : 1;
      }
    }
    return 1;
  }
}
