package io.fbnet.bench.gpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/** Normal numbers for inputs: zeros and equal numbers would flatter a device. */
final class Noise {
  /** A prime, so that the repeated numbers fall on other channels each time. */
  private static final int PERIOD = 65521;

  private Noise() {}

  /** Host memory of {@code elements} f32. */
  static MemorySegment host(Arena arena, long elements, int seed) {
    Random random = new Random(seed);
    MemorySegment memory = arena.allocate(Math.max(1, elements) * Float.BYTES, 64);
    long first = Math.min(PERIOD, elements);
    for (long i = 0; i < first; i++) {
      memory.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    for (long at = first; at < elements; at += PERIOD) {
      long count = Math.min(PERIOD, elements - at);
      MemorySegment.copy(memory, 0, memory, at * Float.BYTES, count * Float.BYTES);
    }
    return memory;
  }

  /** Takes the size of each number, for what may not be negative. */
  static void makePositive(MemorySegment memory) {
    for (long i = 0; i < memory.byteSize() / Float.BYTES; i++) {
      memory.setAtIndex(JAVA_FLOAT, i, Math.abs(memory.getAtIndex(JAVA_FLOAT, i)));
    }
  }
}
