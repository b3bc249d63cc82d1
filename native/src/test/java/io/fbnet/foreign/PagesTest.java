package io.fbnet.foreign;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

@EnabledOnOs(OS.LINUX)
class PagesTest {
  @Test
  void memoryIsZeroToItsLastByteAndGoneWithItsArena() {
    long bytes = (5 << 20) + 3;
    MemorySegment block;
    try (Arena arena = Arena.ofShared()) {
      block = Pages.map(arena, bytes);
      assertEquals(bytes, block.byteSize());
      assertEquals(0, block.address() % 4096);
      for (long at : new long[] {0, 4095, bytes - 1}) {
        assertEquals(0, block.get(ValueLayout.JAVA_BYTE, at));
        block.set(ValueLayout.JAVA_BYTE, at, (byte) 7);
      }
    }
    assertThrows(IllegalStateException.class, () -> block.get(ValueLayout.JAVA_BYTE, 0));
  }

  @Test
  void whatNoSystemHasIsRefused() {
    assertTrue(Pages.available() > 0, "available " + Pages.available());
    try (Arena arena = Arena.ofShared()) {
      OutOfMemoryError e =
          assertThrows(OutOfMemoryError.class, () -> Pages.map(arena, Long.MAX_VALUE));
      assertTrue(e.getMessage().contains(Long.toString(Long.MAX_VALUE)), e.getMessage());
    }
  }
}
