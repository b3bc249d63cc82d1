package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.search.SearchSettings.ThetaSchedule;
import org.junit.jupiter.api.Test;

/** What changes from step to step. */
class SearchSettingsTest {
  @Test
  void theEndIsTheLastStepsTemperatureInASingleEpochToo() {
    for (int thetaEpochs : new int[] {1, 2, 6}) {
      SearchSettings settings =
          SearchSettings.paper().epochs(3 + thetaEpochs).warmupEpochs(3).tau(5, 0.2).build();
      for (int batches : new int[] {1, 2, 40}) {
        int steps = thetaEpochs * batches;
        double before = Double.POSITIVE_INFINITY;
        for (int i = 0; i < steps; i++) {
          double tau = settings.tau(3 + i / batches, i % batches, batches);
          double expected = steps == 1 ? 0.2 : 5 * Math.pow(0.04, (double) i / (steps - 1));
          assertEquals(expected, tau, 1e-12);
          assertTrue(tau < before);
          before = tau;
        }
        assertEquals(5, settings.tau(2, batches - 1, batches), "until theta starts");
      }
    }
  }

  @Test
  void anEpochOfThePaperBeginsWithThePapersTemperature() {
    SearchSettings paper = SearchSettings.paper().build();
    for (int epoch : new int[] {10, 11, 50, 89}) {
      double tau = 5 * Math.pow(0.956, epoch - 10);
      assertEquals(tau, paper.tau(epoch, 0, 100), 1e-12);
      assertEquals(tau * Math.sqrt(0.956), paper.tau(epoch, 50, 100), 1e-12);
    }
    assertEquals(5, paper.tau(9, 99, 100));
  }

  @Test
  void thetasRateStaysOrFallsByACosine() {
    SearchSettings.Builder builder = SearchSettings.paper().thetaRate(0.04);
    assertEquals(0.04, builder.build().thetaRate(99, 100));
    SearchSettings cosine = builder.thetaSchedule(ThetaSchedule.COSINE).build();
    assertEquals(0.04, cosine.thetaRate(0, 100), 1e-15);
    assertEquals(0.02, cosine.thetaRate(50, 100), 1e-15);
    assertEquals(0, cosine.thetaRate(100, 100), 1e-15);
  }
}
