package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Which of scored networks is the best. */
class ObjectiveTest {
  private static final SearchSpace CIFAR = SearchSpace.load("cifar");
  private static final SearchSettings SETTINGS = SearchSettings.paper().build();
  private static final Architecture ANY = Architecture.of("", CIFAR, new int[CIFAR.layerCount()]);

  private static Score score(double ms, double accuracy, double crossEntropy) {
    return new Score(ANY, ms, accuracy, crossEntropy, Objective.loss(SETTINGS, crossEntropy, ms));
  }

  @Test
  void latencyCountsUnlessItIsLimited() {
    // The second is a little more accurate and four times as slow.
    List<Score> scores = List.of(score(5, 0.90, 0.30), score(20, 0.91, 0.29));
    Budget macs = new Budget(List.of(Limit.macs(CIFAR, 1e8), Limit.parameters(CIFAR, 1e7)));
    Budget target = new Budget(List.of(Limit.latency(LatencyTable.load("raspi4"), 20)));
    assertFalse(Budget.NONE.limitsLatency());
    assertFalse(macs.limitsLatency());
    assertTrue(target.limitsLatency());
    assertEquals(scores.get(0), new Objective(macs.limitsLatency(), SETTINGS).least(scores));
    assertEquals(scores.get(1), new Objective(target.limitsLatency(), SETTINGS).least(scores));
  }

  @Test
  void itIsTheLossOfTheSearch() {
    double expected = 0.3 * 0.2 * Math.pow(Math.log(5000), 0.6);
    assertEquals(expected, new Objective(false, SETTINGS).of(0.9, 0.3, 5), 1e-12);
    assertEquals(0.3, Objective.loss(SETTINGS.withoutProduct(), 0.3, 5), 1e-12);
  }

  @Test
  void theFirstOfEqualOnesIsTakenAndWhatIsNoNumberNever() {
    Objective loss = new Objective(false, SETTINGS);
    List<Score> scores = List.of(score(1, 0.1, Double.NaN), score(5, 0.5, 0.3), score(5, 0.6, 0.3));
    assertEquals(0.5, loss.least(scores).accuracy());
  }
}
