package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class PageMemoryTest {
  @BeforeEach
  void onlyWhereItIs() {
    assumeTrue(PageMemory.present(), "memory is mapped so on Linux alone");
  }

  private static boolean mapped(long address) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
      String[] range = line.split(" ", 2)[0].split("-", 2);
      if (Long.parseUnsignedLong(range[0], 16) <= address
          && Long.parseUnsignedLong(range[1], 16) > address) {
        return true;
      }
    }
    return false;
  }

  @Test
  void isAlignedAndZeroAndHoldsWhatIsWritten() {
    long bytes = (5L << 20) + 3;
    try (Arena arena = Arena.ofShared()) {
      MemorySegment memory = PageMemory.map(bytes, arena);
      assertEquals(bytes, memory.byteSize());
      assertEquals(0, memory.address() % (2 << 20));
      for (long at = 0; at < bytes; at += 4093) {
        assertEquals(0, memory.get(JAVA_BYTE, at));
      }
      for (long at = 0; at + 4 <= bytes; at += 4093) {
        memory.set(JAVA_INT_UNALIGNED, at, (int) at + 1);
      }
      for (long at = 0; at + 4 <= bytes; at += 4093) {
        assertEquals((int) at + 1, memory.get(JAVA_INT_UNALIGNED, at));
      }
      assertThrows(IndexOutOfBoundsException.class, () -> memory.get(JAVA_BYTE, bytes));
    }
  }

  @Test
  void closingTheArenaGivesItBack() throws IOException {
    Arena arena = Arena.ofShared();
    MemorySegment memory = PageMemory.map(64L << 20, arena);
    memory.fill((byte) 7);
    long last = memory.address() + memory.byteSize() - 1;
    assertTrue(mapped(memory.address()) && mapped(last));
    arena.close();
    assertFalse(mapped(memory.address()) || mapped(last));
    assertThrows(IllegalStateException.class, () -> memory.get(JAVA_BYTE, 0));
  }

  @Test
  void moreThanThereIsIsRefused() {
    try (Arena arena = Arena.ofShared()) {
      assertThrows(OutOfMemoryError.class, () -> PageMemory.map(1L << 60, arena));
    }
  }
}
