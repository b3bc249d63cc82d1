package io.fbnet.engine.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class GumbelNoiseTest {
  /** The noise depends on the upper 23 bits of a word, so every value can be looked at. */
  private static final int VALUES = 1 << 23;

  private static double exact(int word) {
    return -Math.log(-Math.log(Philox.uniform(word)));
  }

  @Test
  void extremesAreFinite() {
    assertEquals(exact(0), GumbelNoise.of(0), 1e-6 * Math.abs(exact(0)));
    assertEquals(exact(-1), GumbelNoise.of(-1), 1e-6 * exact(-1));
    assertTrue(GumbelNoise.of(0) < -2.8 && GumbelNoise.of(-1) > 16.6);
  }

  @Test
  void everyValueIsAccurateAndMonotone() {
    double worst = 0;
    float last = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < VALUES; i++) {
      float g = GumbelNoise.of(i << 9);
      assertTrue(Float.isFinite(g), "word " + (i << 9));
      assertTrue(g >= last, "falls at word " + (i << 9));
      last = g;
      double expected = exact(i << 9);
      // Where the noise crosses zero a relative error means nothing: there it is taken of 1.
      worst = Math.max(worst, Math.abs(g - expected) / Math.max(1, Math.abs(expected)));
    }
    System.out.println("Gumbel noise: largest relative error " + worst);
    assertTrue(worst < 1e-6, "largest relative error " + worst);
  }

  @Test
  void lowBitsOfAWordDoNotMatter() {
    assertEquals(GumbelNoise.of(0x12345600), GumbelNoise.of(0x123457FF));
  }

  @Test
  void logarithmIsThatOfDouble() {
    for (float x = Float.MIN_NORMAL; x < Float.MAX_VALUE / 2; x *= 1.37f) {
      double expected = Math.log(x);
      assertEquals(
          expected, GumbelNoise.log(x), 2e-7 * Math.max(1, Math.abs(expected)), "log " + x);
    }
  }

  @Test
  void aMillionDrawsHaveTheMomentsOfGumbel() {
    long seed = 20260102L;
    int n = 1_000_000;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < n; i++) {
      double g = GumbelNoise.of(Philox.word(seed, 1, 0, i));
      sum += g;
      squares += g * g;
    }
    double mean = sum / n;
    double variance = squares / n - mean * mean;
    System.out.printf("Gumbel moments: mean %.5f, variance %.5f, seed %d%n", mean, variance, seed);
    // Five standard errors: sqrt(1.645 / n) for the mean, and kurtosis 5.4 for the variance.
    assertEquals(0.5772156649, mean, 5 * 0.00128, "mean, seed " + seed);
    assertEquals(Math.PI * Math.PI / 6, variance, 5 * 0.0035, "variance, seed " + seed);
  }
}
