package io.fbnet.nas.onnx;

import java.util.Arrays;

/**
 * Counts numbers in bins of equal width on both sides of 0. Where a number lies outside, bins are
 * made twice as wide, two becoming one, so the counts depend on the numbers alone and not on their
 * order.
 */
final class Histogram {
  private static final int BINS = 4096;
  private static final int FIRST_EXPONENT = -60;

  private final long[] above = new long[BINS];
  private final long[] below = new long[BINS];

  /** Every number so far is smaller than 2 to this power. */
  private int exponent = FIRST_EXPONENT;

  private long count;
  private float least;
  private float most;

  /** Counts numbers; false if one of them is infinite or none at all. */
  boolean add(float[] numbers) {
    for (float number : numbers) {
      float size = Math.abs(number);
      if (!(size < Float.POSITIVE_INFINITY)) {
        return false;
      }
      while (size >= Math.scalb(1f, exponent)) {
        widen(above);
        widen(below);
        exponent++;
      }
      (number < 0 ? below : above)[(int) (size * Math.scalb((double) BINS, -exponent))]++;
      least = Math.min(least, number);
      most = Math.max(most, number);
    }
    count += numbers.length;
    return true;
  }

  private static void widen(long[] bins) {
    for (int i = 0; i < BINS / 2; i++) {
      bins[i] = bins[2 * i] + bins[2 * i + 1];
    }
    Arrays.fill(bins, BINS / 2, BINS, 0);
  }

  /**
   * The range that leaves out at most this share of all numbers at either end.
   *
   * @param share from 0, which leaves out none, to 1
   */
  Range range(double share) {
    long most = (long) (share * count);
    return new Range(0 - end(below, most, -least), end(above, most, this.most));
  }

  /** The edge of the bins beyond which no more than {@code most} numbers lie. */
  private float end(long[] bins, long most, float furthest) {
    long beyond = 0;
    for (int i = BINS - 1; i >= 0; i--) {
      beyond += bins[i];
      if (beyond > most) {
        return Math.min(furthest, (float) ((i + 1) * Math.scalb(1.0 / BINS, exponent)));
      }
    }
    return 0;
  }
}
