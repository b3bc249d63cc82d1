package io.fbnet.nas.budget;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.space.SearchSpace.SkipRule;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class BudgetTest {
  private static final long SEED = 20261124L;
  private static final SearchSpace CIFAR = SearchSpace.load("cifar");

  private static Theta randomTheta(SearchSpace space, double spread) {
    Random random = new Random(SEED);
    double[][] logits = Theta.uniform(space).logits();
    for (double[] layer : logits) {
      for (int k = 0; k < layer.length; k++) {
        layer[k] += spread * random.nextGaussian();
      }
    }
    return new Theta(logits);
  }

  @Test
  void costsAreTheDescriptions() {
    Theta theta = randomTheta(CIFAR, 1);
    Limit macs = Limit.macs(CIFAR, 1e8);
    Limit parameters = Limit.parameters(CIFAR, 1e6);
    for (int i = 0; i < 20; i++) {
      int[] choice = theta.sample(SEED, i);
      Description whole = Description.of(Architecture.of("", CIFAR, choice));
      assertEquals((double) whole.macs(), macs.of(choice), 1e-3, "seed " + SEED);
      assertEquals((double) whole.parameters(), parameters.of(choice), 1e-3, "seed " + SEED);
    }
  }

  @Test
  void expectationIsTheMeanOfDraws() {
    Theta theta = randomTheta(CIFAR, 1);
    Limit limit = Limit.latency(LatencyTable.load("pixel2"), 10);
    double mean = 0;
    int draws = 20_000;
    for (int i = 0; i < draws; i++) {
      mean += limit.of(theta.sample(SEED, i)) / draws;
    }
    assertEquals(limit.expected(theta.probabilities()), mean, 0.01 * mean, "seed " + SEED);
  }

  @Test
  void whatNoNetworkKeepsIsRefused() {
    LatencyTable table = LatencyTable.load("raspi4");
    Refusals.data(
        () -> BudgetCheck.require(new Budget(List.of(Limit.latency(table, 7))), CIFAR),
        "latency of 7.0000 ms",
        "7.7982 ms",
        "skip | skip");
    Refusals.data(
        () -> BudgetCheck.require(new Budget(List.of(Limit.latency(table, 500))), CIFAR),
        "slowest takes 79.2216 ms");
    Refusals.data(
        () -> BudgetCheck.require(new Budget(List.of(Limit.parameters(CIFAR, 1000))), CIFAR),
        "parameters",
        "least possible");
    Refusals.data(
        () ->
            BudgetCheck.require(
                new Budget(List.of(Limit.latency(table, 30), Limit.mostLatency(table, 20))), CIFAR),
        "28.5000 ms to 30.6000 ms and at most 20.0000 ms together",
        "a network takes at most about 20.0",
        "or at least about 28.");
    // Where a stage may not begin with skip, the fastest network is slower.
    SearchSpace strict = CIFAR.withSkips(SkipRule.NOT_FIRST);
    Refusals.data(
        () -> BudgetCheck.require(new Budget(List.of(Limit.latency(table, 8))), strict),
        "least possible");
  }

  @Test
  void aGapBetweenSumsIsRefusedWithItsNeighbours() {
    SearchSpace one =
        new SearchSpace(
            "one",
            new SearchSpace.Input(3, 8, 8),
            10,
            new SearchSpace.Stem(8, 1),
            List.of(new SearchSpace.Stage(8, 2, 1)),
            16,
            CIFAR.blocks().subList(0, 2),
            true);
    LatencyTable table =
        LatencyTable.builder("here", one).fixed(1).layers(new double[][] {{1, 5}, {1, 5}}).build();
    Refusals.data(
        () -> BudgetCheck.require(new Budget(List.of(Limit.latency(table, 5))), one),
        "3.0000 ms and 7.0000 ms");
    BudgetCheck.require(new Budget(List.of(Limit.latency(table, 7))), one);
  }

  @Test
  void skipIsNeverDrawnWhereItIsForbidden() {
    SearchSpace strict = CIFAR.withSkips(SkipRule.NOT_FIRST);
    Theta uniform = Theta.uniform(strict);
    int skip = strict.blockNames().indexOf("skip");
    boolean elsewhere = false;
    for (int i = 0; i < 200; i++) {
      int[] choice = uniform.sample(SEED, i);
      for (int first : new int[] {0, 1, 5, 9, 13, 17, 21}) {
        assertFalse(choice[first] == skip, "seed " + SEED);
      }
      elsewhere |= choice[2] == skip;
    }
    assertTrue(elsewhere);
    assertEquals(0, uniform.probabilities()[0][skip]);
  }

  @Test
  void multipliersFollowTheExcessAndSurviveTheRecord() {
    LatencyTable table = LatencyTable.load("raspi4");
    double[][] uniform = Theta.uniform(CIFAR).probabilities();
    double mean = table.expected(uniform);
    Budget budget =
        new Budget(List.of(Limit.latency(table, 1.1 * mean), Limit.parameters(CIFAR, 1e9)));
    DualAscent ascent = new DualAscent(budget);
    ascent.observe(List.of(-0.09, -0.5));
    assertEquals(0, ascent.record(uniform).get("lambda"), "the step after next hears of it");
    ascent.move();
    // Too fast: the weight of latency is negative, that of what is kept stays 0.
    assertEquals(-0.09 * (0.2 + 10), ascent.record(uniform).get("lambda"), 1e-12);
    assertEquals(0, ascent.record(uniform).get("lambda_params"));
    double before = ascent.record(uniform).get("lambda");
    ascent.move();
    assertEquals(before, ascent.record(uniform).get("lambda"), "nothing new was observed");
    // A checkpoint between two steps holds what the first found and the second has not used.
    ascent.observe(List.of(-0.05, 0.3));
    DualAscent resumed = new DualAscent(budget);
    resumed.restore(ascent.json());
    assertEquals(ascent.record(uniform), resumed.record(uniform));
    ascent.move();
    resumed.move();
    assertEquals(ascent.record(uniform), resumed.record(uniform));
    assertEquals(ascent.json(), resumed.json());
    // The multiplier grows while the excess lasts; an excess above 0.2 counts as 0.2.
    assertEquals(-0.14 * 0.2 - 0.05 * 10, ascent.record(uniform).get("lambda"), 1e-12);
    assertEquals(0.2 * (0.2 + 10), ascent.record(uniform).get("lambda_params"), 1e-12);
  }

  /** Until theta's expectation was computed on the device, a checkpoint held multipliers alone. */
  @Test
  void olderCheckpointsGoOn() {
    Budget budget = new Budget(List.of(Limit.latency(LatencyTable.load("raspi4"), 30)));
    DualAscent ascent = new DualAscent(budget);
    ascent.restore(JsonNodeFactory.instance.objectNode().put("latency", -0.75));
    double[][] uniform = Theta.uniform(CIFAR).probabilities();
    assertEquals(-0.75, ascent.record(uniform).get("lambda"));
    ascent.observe(List.of(0.1));
    ascent.move();
    assertEquals(-0.75 + 0.1 * 0.2 + 0.1 * 10, ascent.record(uniform).get("lambda"), 1e-12);
  }
}
