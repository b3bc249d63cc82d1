package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class ExifOrientationTest {
  private static int read(ByteOrder order, int type, int orientation) {
    ByteBuffer block = ByteBuffer.allocate(26).order(order);
    block.putShort((short) (order == ByteOrder.LITTLE_ENDIAN ? 0x4949 : 0x4D4D));
    block.putShort((short) 42).putInt(8).putShort((short) 1);
    block.putShort((short) 0x112).putShort((short) type).putInt(1);
    int at = block.position();
    switch (type) {
      case 1 -> block.put((byte) orientation);
      case 3 -> block.putShort((short) orientation);
      default -> block.putInt(orientation);
    }
    return ExifOrientation.of(block.position(at).rewind());
  }

  @Test
  void theNumberIsReadInAnyWidth() {
    for (ByteOrder order : new ByteOrder[] {ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN}) {
      for (int orientation = 1; orientation <= 8; orientation++) {
        for (int type : new int[] {1, 3, 4}) {
          assertEquals(orientation, read(order, type, orientation), order + " type " + type);
        }
      }
      for (int type : new int[] {1, 3, 4}) {
        assertEquals(1, read(order, type, 0));
        assertEquals(1, read(order, type, 9));
      }
      // Five is a fraction, which is no orientation.
      assertEquals(1, read(order, 5, 6));
    }
  }
}
