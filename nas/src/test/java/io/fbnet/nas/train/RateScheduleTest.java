package io.fbnet.nas.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.train.RateSchedule.Kind;
import java.util.List;
import org.junit.jupiter.api.Test;

class RateScheduleTest {
  private static final int PER_EPOCH = 10;

  @Test
  void aCosineGoesFromTheRateToZero() {
    RateSchedule cosine = new RateSchedule(Kind.COSINE, 0.4, 8, 0, List.of(), 0.1);
    assertEquals(0.4, cosine.at(0, PER_EPOCH), 1e-15);
    assertEquals(0.2, cosine.at(40, PER_EPOCH), 1e-15);
    assertEquals(0.2 * (1 + Math.cos(Math.PI * 0.75)), cosine.at(60, PER_EPOCH), 1e-15);
    assertTrue(cosine.at(79, PER_EPOCH) > 0 && cosine.at(79, PER_EPOCH) < 1e-3);
  }

  @Test
  void theWarmUpRisesToTheRateAndTheCosineHasTheRest() {
    RateSchedule cosine = new RateSchedule(Kind.COSINE, 0.4, 8, 2, List.of(), 0.1);
    assertEquals(0.4 / 20, cosine.at(0, PER_EPOCH), 1e-15);
    assertEquals(0.4 * 10 / 20, cosine.at(9, PER_EPOCH), 1e-15);
    assertEquals(0.4, cosine.at(19, PER_EPOCH), 1e-15);
    assertEquals(0.4, cosine.at(20, PER_EPOCH), 1e-15);
    assertEquals(0.2, cosine.at(50, PER_EPOCH), 1e-15);
  }

  /** The paper's child: 360 epochs, 0.1, a tenth at 90, 180 and 270. */
  @Test
  void stepsFallAtTheirEpochs() {
    RateSchedule paper = new RateSchedule(Kind.STEP, 0.1, 360, 0, List.of(90, 180, 270), 0.1);
    double[] rates = {0.1, 0.01, 0.001, 0.0001};
    for (int quarter = 0; quarter < 4; quarter++) {
      assertEquals(rates[quarter], paper.at(90L * quarter * PER_EPOCH, PER_EPOCH), 1e-15);
      assertEquals(rates[quarter], paper.at(90L * (quarter + 1) * PER_EPOCH - 1, PER_EPOCH), 1e-15);
    }
  }

  @Test
  void theAverageBeginsWithTheFirstWeightsAndReachesItsDecay() {
    RateSchedule schedule = new RateSchedule(Kind.COSINE, 0.1, 1, 0, List.of(), 0.1);
    Recipe recipe =
        new Recipe(
            1,
            8,
            1,
            0,
            new HoldOut(0, 1, 0),
            schedule,
            0.9,
            0,
            0,
            ClassBalance.NONE,
            0.99,
            Augmentation.none(),
            false);
    assertEquals(0, recipe.averageKeep(0));
    assertEquals(0.1, recipe.averageKeep(1), 1e-15);
    assertEquals(0.5, recipe.averageKeep(9), 1e-15);
    assertEquals(0.99, recipe.averageKeep(100_000), 1e-15);
  }
}
