package io.fbnet.nas.budget;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Draws within a budget: against every architecture of small spaces, and on real tables. */
class BudgetDrawsTest {
  private static final long SEED = 20261128L;
  private static final SearchSpace CIFAR = SearchSpace.load("cifar");
  private static final int DRAWS = 6_000;

  private static double[][] random(Random random, int layers, int candidates, double spread) {
    double[][] logits = new double[layers][candidates];
    for (double[] layer : logits) {
      Arrays.setAll(layer, k -> spread * random.nextGaussian());
    }
    return new Theta(logits).probabilities();
  }

  private static double[][] theta(boolean[][] allowed, double spread, long seed) {
    return random(new Random(seed), allowed.length, allowed[0].length, spread);
  }

  private static double[][] costs(Random random, int layers, int candidates, boolean whole) {
    double[][] costs = new double[layers][candidates];
    for (double[] layer : costs) {
      Arrays.setAll(layer, k -> whole ? random.nextInt(1000) : random.nextDouble());
    }
    return costs;
  }

  private static List<int[]> all(boolean[][] allowed) {
    List<int[]> all = new ArrayList<>(List.of(new int[0]));
    for (boolean[] layer : allowed) {
      List<int[]> longer = new ArrayList<>();
      for (int[] prefix : all) {
        for (int k = 0; k < layer.length; k++) {
          if (layer[k]) {
            int[] choice = Arrays.copyOf(prefix, prefix.length + 1);
            choice[prefix.length] = k;
            longer.add(choice);
          }
        }
      }
      all = longer;
    }
    return all;
  }

  /**
   * The frequencies of draws against the exact conditional distribution by chi-square, rare
   * architectures together. The normal approximation of its distribution is good here, and 5
   * deviations are one false alarm in a million.
   */
  private static void frequenciesAgree(
      BudgetDraws draws, Budget budget, List<int[]> all, double[][] probabilities, String where) {
    Map<List<Integer>, Double> exact = new HashMap<>();
    double total = 0;
    for (int[] choice : all) {
      double p = 1;
      for (int l = 0; l < choice.length; l++) {
        p *= probabilities[l][choice[l]];
      }
      if (budget.met(choice)) {
        exact.put(Arrays.stream(choice).boxed().toList(), p);
        total += p;
      }
    }
    if (exact.isEmpty()) {
      assertTrue(draws.draw(SEED, 1, 0).isEmpty(), where);
      return;
    }
    Map<List<Integer>, Integer> seen = new HashMap<>();
    for (int i = 0; i < DRAWS; i++) {
      int[] choice = draws.draw(SEED, 1, i).orElseThrow();
      assertTrue(budget.met(choice), where);
      seen.merge(Arrays.stream(choice).boxed().toList(), 1, Integer::sum);
    }
    double chi = 0;
    int cells = 0;
    double rare = 0;
    int rareSeen = 0;
    for (Map.Entry<List<Integer>, Double> e : exact.entrySet()) {
      double expected = DRAWS * e.getValue() / total;
      int count = seen.getOrDefault(e.getKey(), 0);
      if (expected < 8) {
        rare += expected;
        rareSeen += count;
      } else {
        chi += (count - expected) * (count - expected) / expected;
        cells++;
      }
    }
    if (rare >= 8) {
      chi += (rareSeen - rare) * (rareSeen - rare) / rare;
      cells++;
    }
    int freedom = Math.max(1, cells - 1);
    assertTrue(
        chi < freedom + 5 * Math.sqrt(2.0 * freedom) + 10,
        where + ": chi-square " + chi + " of " + freedom + " degrees of freedom");
  }

  @Test
  void drawsFollowTheConditionalDistribution() {
    System.out.println("BudgetDrawsTest seed " + SEED);
    Random random = new Random(SEED);
    int kept = 0;
    for (int round = 0; round < 24; round++) {
      int layers = 2 + random.nextInt(4);
      int candidates = 2 + random.nextInt(3);
      boolean[][] allowed = new boolean[layers][candidates];
      for (boolean[] layer : allowed) {
        for (int k = 0; k < candidates; k++) {
          layer[k] = random.nextInt(5) > 0;
        }
        layer[random.nextInt(candidates)] = true;
      }
      List<int[]> all = all(allowed);
      double[][] probabilities = random(random, layers, candidates, round % 3);
      for (int l = 0; l < layers; l++) {
        for (int k = 0; k < candidates; k++) {
          probabilities[l][k] = allowed[l][k] ? probabilities[l][k] : 0;
        }
      }
      List<Limit> limits = new ArrayList<>();
      int[] some = all.get(random.nextInt(all.size()));
      if (round % 4 > 0) {
        Limit ms = new Limit(Limit.Kind.LATENCY, 1, 0.1, costs(random, layers, candidates, false));
        boolean hard = round % 8 > 4;
        limits.add(
            new Limit(
                hard ? Limit.Kind.MOST_LATENCY : Limit.Kind.LATENCY,
                ms.of(some),
                ms.fixed(),
                ms.costs()));
      }
      if (round % 4 > 1) {
        Limit macs = new Limit(Limit.Kind.MACS, 1, 5, costs(random, layers, candidates, true));
        limits.add(new Limit(Limit.Kind.MACS, 1.2 * macs.of(some), macs.fixed(), macs.costs()));
      }
      if (round % 4 > 2) {
        Limit number =
            new Limit(Limit.Kind.PARAMETERS, 1, 5, costs(random, layers, candidates, true));
        limits.add(
            new Limit(
                Limit.Kind.PARAMETERS, 1.1 * number.of(some), number.fixed(), number.costs()));
      }
      Budget budget = new Budget(limits);
      String where = "round " + round + ", seed " + SEED;
      BudgetDraws draws = new BudgetDraws(budget, allowed, probabilities);
      frequenciesAgree(draws, budget, all, probabilities, where);
      double[][] even = new double[layers][candidates];
      for (double[] layer : even) {
        Arrays.fill(layer, 1);
      }
      frequenciesAgree(BudgetDraws.uniform(budget, allowed), budget, all, even, where + ", even");
      long within = all.stream().filter(budget::met).count();
      kept += within > 1 ? 1 : 0;
      if (round % 6 == 0) {
        List<int[]> distinct = draws.distinct(SEED, 1, 100_000, List.of());
        assertEquals(within, distinct.size(), where + ": all of an even distribution");
      }
    }
    assertTrue(kept > 12, kept + " rounds with a choice, seed " + SEED);
  }

  @ParameterizedTest
  @ValueSource(strings = {"raspi4", "titan_rtx_64", "samsung_s7", "fpga", "gold_6226"})
  void drawsKeepTheTargetWhereverThetaStands(String name) {
    LatencyTable table = LatencyTable.load(name);
    double least = table.latencyOf(table.fastest());
    boolean[][] allowed = CIFAR.allowed();
    double mean = table.expected(Theta.uniform(CIFAR).probabilities());
    for (double share : new double[] {0.15, 0.5, 1, 1.3}) {
      double target = least + share * (mean - least);
      Budget budget =
          new Budget(List.of(Limit.latency(table, target), Limit.mostLatency(table, target)));
      BudgetCheck.require(budget, CIFAR);
      for (double spread : new double[] {0, 1, 4, 60}) {
        BudgetDraws draws = new BudgetDraws(budget, allowed, theta(allowed, spread, SEED));
        List<int[]> choices = draws.distinct(SEED, 1, 6, List.of());
        assertFalse(choices.isEmpty(), name + " " + target + " ms, seed " + SEED);
        // Where theta is all but decided, so are the draws.
        assertTrue(choices.size() == 6 || spread > 10, name + ", seed " + SEED);
        for (int[] choice : choices) {
          double used = table.latencyOf(choice) / target;
          assertTrue(used >= 0.95 && used <= 1, used + " of the target, seed " + SEED);
        }
      }
    }
  }

  @Test
  void limitsHoldTogetherWithFewNearMisses() {
    LatencyTable table = LatencyTable.load("raspi4");
    boolean[][] allowed = CIFAR.allowed();
    double[][] probabilities = theta(allowed, 1, SEED);
    Limit latency = Limit.latency(table, 20.9);
    Budget alone = new Budget(List.of(latency));
    Limit macs = Limit.macs(CIFAR, 1);
    Limit parameters = Limit.parameters(CIFAR, 1);
    double meanMacs = 0;
    double meanParameters = 0;
    BudgetDraws draws = new BudgetDraws(alone, allowed, probabilities);
    for (int i = 0; i < 1000; i++) {
      int[] choice = draws.draw(SEED, 1, i).orElseThrow();
      meanMacs += macs.of(choice) / 1000;
      meanParameters += parameters.of(choice) / 1000;
    }
    assertTrue(draws.nearMisses(SEED, 1, 1000) < 30, "of one limit, seed " + SEED);
    // Less than what draws of this latency cost on average: all limits pull.
    Budget all =
        new Budget(
            List.of(
                latency,
                Limit.macs(CIFAR, 0.95 * meanMacs),
                Limit.parameters(CIFAR, 0.95 * meanParameters)));
    BudgetDraws together = new BudgetDraws(all, allowed, probabilities);
    List<int[]> choices = together.distinct(SEED, 1, 50, List.of());
    assertEquals(50, choices.size(), "seed " + SEED);
    choices.forEach(choice -> assertTrue(all.met(choice)));
    // 64 bins a limit are coarse: most attempts are near misses, each a few microseconds.
    assertTrue(together.nearMisses(SEED, 1, 1000) < 980, "of three limits, seed " + SEED);
    Budget two = new Budget(all.limits().subList(0, 2));
    int misses = new BudgetDraws(two, allowed, probabilities).nearMisses(SEED, 1, 1000);
    assertTrue(misses < 600, misses + " of two limits, seed " + SEED);
  }

  @Test
  void whatIsGivenComesFirstAndNothingTwice() {
    boolean[][] allowed = CIFAR.allowed();
    double[][] probabilities = theta(allowed, 6, SEED);
    BudgetDraws draws = new BudgetDraws(Budget.NONE, allowed, probabilities);
    int[] likely = new Theta(log(probabilities)).mostLikely();
    List<int[]> choices = draws.distinct(SEED, 1, 40, List.of(likely, likely));
    assertEquals(40, choices.size());
    assertEquals(likely, choices.getFirst());
    assertEquals(40, choices.stream().map(Arrays::toString).distinct().count());
    // The same from the beginning, however many are asked for; others in another stream.
    List<int[]> fewer = draws.distinct(SEED, 1, 7, List.of(likely));
    List<int[]> others = draws.distinct(SEED, 2, 40, List.of());
    for (int i = 0; i < 7; i++) {
      assertEquals(Arrays.toString(choices.get(i)), Arrays.toString(fewer.get(i)));
    }
    assertFalse(Arrays.equals(choices.get(1), others.getFirst()));
    // What does not keep the budget is not begun with.
    Limit macs = Limit.macs(CIFAR, 1);
    Budget less = new Budget(List.of(Limit.macs(CIFAR, macs.of(likely) - 1)));
    List<int[]> within =
        new BudgetDraws(less, allowed, probabilities).distinct(SEED, 1, 5, List.of(likely));
    within.forEach(choice -> assertTrue(less.met(choice)));
    assertEquals(5, within.size());
  }

  private static double[][] log(double[][] probabilities) {
    return Arrays.stream(probabilities)
        .map(layer -> Arrays.stream(layer).map(Math::log).toArray())
        .toArray(double[][]::new);
  }

  /** A theta that all but excludes the budget still gives what keeps it. */
  @Test
  void theLeastLikelyBudgetIsKept() {
    LatencyTable table = LatencyTable.load("raspi4");
    boolean[][] allowed = CIFAR.allowed();
    int[] fastest = table.fastest();
    double[][] logits = new double[allowed.length][allowed[0].length];
    for (int l = 0; l < logits.length; l++) {
      logits[l][fastest[l]] = -100;
    }
    double ms = table.latencyOf(fastest);
    Budget budget = new Budget(List.of(Limit.mostLatency(table, ms * (1 + 1e-9))));
    BudgetDraws draws = new BudgetDraws(budget, allowed, new Theta(logits).probabilities());
    assertEquals(Arrays.toString(fastest), Arrays.toString(draws.draw(SEED, 1, 0).orElseThrow()));
  }
}
