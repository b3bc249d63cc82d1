package io.fbnet.nas.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class AdditivityTest {
  private static final long SEED = 20261125L;

  @Test
  void theCoefficientsComeBack() {
    Random random = new Random(SEED);
    double[] warm = new double[24];
    double[] cold = new double[24];
    double[] parts = new double[24];
    double[] whole = new double[24];
    for (int i = 0; i < warm.length; i++) {
      parts[i] = 17 + random.nextInt(6);
      warm[i] = 1 + random.nextDouble();
      cold[i] = 1.5 + random.nextDouble();
      whole[i] = 0.4 * warm[i] + 0.8 * cold[i] - 0.027 * parts[i];
    }
    Additivity fit = Additivity.fit(warm, cold, parts, whole);
    assertEquals(0.4, fit.warm(), 1e-3, "seed " + SEED);
    assertEquals(0.8, fit.cold(), 1e-3, "seed " + SEED);
    assertEquals(0.027, fit.start(), 1e-3, "seed " + SEED);
    assertEquals(0, fit.error(), 1e-3);
    assertEquals(0.4 * 0.5 + 0.8 * 0.7 - 0.027, fit.inside(0.5, 0.7, 1), 1e-3);
    assertTrue(fit.inside(0.001, 0.002, 1) > 0);
  }

  @Test
  void aTimeThatSeemsToHelpIsLeftOut() {
    Random random = new Random(SEED + 1);
    double[] warm = new double[24];
    double[] cold = new double[24];
    double[] parts = new double[24];
    double[] whole = new double[24];
    for (int i = 0; i < warm.length; i++) {
      parts[i] = 5 + random.nextInt(4);
      warm[i] = 1 + random.nextDouble();
      cold[i] = 2 + random.nextDouble();
      whole[i] = 1.2 * warm[i] - 0.05 * cold[i];
    }
    Additivity fit = Additivity.fit(warm, cold, parts, whole);
    assertTrue(fit.warm() >= 0 && fit.cold() >= 0, fit + ", seed " + SEED);
    assertTrue(fit.error() < 0.05, fit + ", seed " + SEED);
  }

  @Test
  void networksThatAreAlikeStillGiveAScale() {
    double[] warm = {2, 2, 2};
    double[] cold = {4, 4, 4};
    double[] parts = {5, 5, 5};
    double[] whole = {3, 3.1, 2.9};
    Additivity fit = Additivity.fit(warm, cold, parts, whole);
    assertEquals(3, fit.inside(2, 4, 5), 0.05);
  }
}
