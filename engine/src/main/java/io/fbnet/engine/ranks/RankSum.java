package io.fbnet.engine.ranks;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * Means over ranks, added in their order. A block goes through arrays that stay in the first cache:
 * loops over arrays are compiled to vectors, with or without the vector module.
 */
final class RankSum {
  private static final int BLOCK = 2048;

  private final int ranks;
  private final float[] sum = new float[BLOCK];
  private final float[] term = new float[BLOCK];
  private final double[] sum64 = new double[BLOCK];
  private final double[] term64 = new double[BLOCK];

  RankSum(int ranks) {
    this.ranks = ranks;
  }

  /**
   * Writes the means.
   *
   * @param parts one a rank, of equal length
   * @param mean of that length too; may be one of the parts
   * @param elementBytes 4 for f32, 8 for f64
   */
  void mean(MemorySegment[] parts, MemorySegment mean, int elementBytes) {
    int elements = Math.toIntExact(mean.byteSize() / elementBytes);
    for (int from = 0; from < elements; from += BLOCK) {
      int count = Math.min(BLOCK, elements - from);
      long at = (long) from * elementBytes;
      if (elementBytes == Float.BYTES) {
        f32(parts, mean, at, count);
      } else {
        f64(parts, mean, at, count);
      }
    }
  }

  private void f32(MemorySegment[] parts, MemorySegment mean, long at, int count) {
    MemorySegment.copy(parts[0], JAVA_FLOAT_UNALIGNED, at, sum, 0, count);
    for (int i = 1; i < ranks; i++) {
      MemorySegment.copy(parts[i], JAVA_FLOAT_UNALIGNED, at, term, 0, count);
      add(sum, term, count);
    }
    divide(sum, count, ranks);
    MemorySegment.copy(sum, 0, mean, JAVA_FLOAT_UNALIGNED, at, count);
  }

  private void f64(MemorySegment[] parts, MemorySegment mean, long at, int count) {
    MemorySegment.copy(parts[0], JAVA_DOUBLE_UNALIGNED, at, sum64, 0, count);
    for (int i = 1; i < ranks; i++) {
      MemorySegment.copy(parts[i], JAVA_DOUBLE_UNALIGNED, at, term64, 0, count);
      add(sum64, term64, count);
    }
    divide(sum64, count, ranks);
    MemorySegment.copy(sum64, 0, mean, JAVA_DOUBLE_UNALIGNED, at, count);
  }

  private static void add(float[] sum, float[] term, int count) {
    for (int i = 0; i < count; i++) {
      sum[i] += term[i];
    }
  }

  private static void divide(float[] sum, int count, int ranks) {
    for (int i = 0; i < count; i++) {
      sum[i] /= ranks;
    }
  }

  private static void add(double[] sum, double[] term, int count) {
    for (int i = 0; i < count; i++) {
      sum[i] += term[i];
    }
  }

  private static void divide(double[] sum, int count, int ranks) {
    for (int i = 0; i < count; i++) {
      sum[i] /= ranks;
    }
  }
}
