package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigDecimal;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** bf16 is exact where it can be, the nearest elsewhere, and the same one by one and on vectors. */
class Bf16Test {
  private static final long SEED = 20261125L;

  @Test
  void whatIsBf16StaysAsItIs() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float v = Bf16.widen((short) bits);
      if (Float.isNaN(v)) {
        assertTrue(Float.isNaN(Bf16.widen(Bf16.round(v))));
      } else {
        assertEquals((short) bits, Bf16.round(v), "bits " + Integer.toHexString(bits));
      }
    }
  }

  @Test
  void whatIsNotIsRoundedToTheNearestAndToTheEvenOneOfTwo() {
    Random random = new Random(SEED);
    for (int i = 0; i < 20_000; i++) {
      // Every fourth lies halfway between two.
      int bits = i % 4 == 0 ? random.nextInt() & 0xffff0000 | 0x8000 : random.nextInt();
      float v = Float.intBitsToFloat(bits);
      float low = Float.intBitsToFloat(bits & 0xffff0000);
      float high = Float.intBitsToFloat((bits & 0xffff0000) + 0x10000);
      if (!Float.isFinite(v) || !Float.isFinite(high)) {
        continue;
      }
      BigDecimal exact = new BigDecimal(v);
      int nearer =
          exact
              .subtract(new BigDecimal(low))
              .abs()
              .compareTo(exact.subtract(new BigDecimal(high)).abs());
      float even = (bits & 0x10000) == 0 ? low : high;
      float expected = nearer < 0 ? low : nearer > 0 ? high : even;
      assertEquals(expected, Bf16.widen(Bf16.round(v)), v + ", seed " + SEED);
    }
  }

  @Test
  void infinityAndWhatIsBeyondTheLargestAreInfinite() {
    assertEquals(Float.POSITIVE_INFINITY, Bf16.widen(Bf16.round(Float.POSITIVE_INFINITY)));
    assertEquals(Float.NEGATIVE_INFINITY, Bf16.widen(Bf16.round(-Float.MAX_VALUE)));
  }

  /** Any bits, the NaN that truncation would call infinite among them. */
  @Test
  void vectorsRoundAndWidenAsOneByOne() {
    assumeTrue(CpuBackend.vectorModule() && VectorLoops.fits(), "no vectors here");
    Loops vectors = VectorLoops.bf16();
    int lanes = vectors.lanes();
    Loops scalar = new ScalarLoops(lanes, true);
    Random random = new Random(SEED);
    int count = 4096 * lanes;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment wide = arena.allocate(4L * count, 64);
      for (int i = 0; i < count; i++) {
        wide.setAtIndex(JAVA_INT, i, i % 8 == 0 ? 0x7f800001 : random.nextInt());
      }
      MemorySegment one = arena.allocate(2L * count, 64);
      MemorySegment many = arena.allocate(2L * count, 64);
      scalar.narrow(wide, 0, one, 0, 2L * count);
      vectors.narrow(wide, 0, many, 0, 2L * count);
      MemorySegment again = arena.allocate(4L * count, 64);
      vectors.widen(many, 0, again, 0, 2L * count);
      float[] read = new float[count];
      vectors.read(many, 0, 2L * count, read, 0);
      for (int i = 0; i < count; i++) {
        short bits = one.getAtIndex(JAVA_SHORT, i);
        assertEquals(bits, many.getAtIndex(JAVA_SHORT, i), i + ", seed " + SEED);
        assertEquals(Bf16.widen(bits), again.getAtIndex(JAVA_FLOAT, i), i + ", seed " + SEED);
        assertEquals(Bf16.widen(bits), read[i], i + ", seed " + SEED);
      }
    }
  }
}
