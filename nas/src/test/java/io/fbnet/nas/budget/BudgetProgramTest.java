package io.fbnet.nas.budget;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Limits that hold together, against every architecture of small spaces one by one. */
class BudgetProgramTest {
  private static final long SEED = 20261128L;
  private static final int LAYERS = 5;
  private static final int CANDIDATES = 4;

  private static double[][] costs(Random random, boolean whole) {
    double[][] costs = new double[LAYERS][CANDIDATES];
    for (double[] layer : costs) {
      for (int k = 0; k < layer.length; k++) {
        layer[k] = whole ? random.nextInt(1000) : random.nextDouble();
      }
    }
    return costs;
  }

  private static List<int[]> all(boolean[][] allowed) {
    List<int[]> all = new ArrayList<>();
    int count = (int) Math.pow(CANDIDATES, LAYERS);
    for (int number = 0; number < count; number++) {
      int[] choice = new int[LAYERS];
      boolean fits = true;
      for (int l = 0, rest = number; l < LAYERS; l++, rest /= CANDIDATES) {
        choice[l] = rest % CANDIDATES;
        fits &= allowed[l][choice[l]];
      }
      if (fits) {
        all.add(choice);
      }
    }
    return all;
  }

  private static boolean[][] allowed(Random random) {
    boolean[][] allowed = new boolean[LAYERS][CANDIDATES];
    for (boolean[] layer : allowed) {
      for (int k = 0; k < layer.length; k++) {
        layer[k] = random.nextInt(5) > 0;
      }
      layer[random.nextInt(CANDIDATES)] = true;
    }
    return allowed;
  }

  @Test
  void itAgreesWithTryingEveryArchitecture() throws Exception {
    Random random = new Random(SEED);
    int possible = 0;
    int impossible = 0;
    for (int round = 0; round < 60; round++) {
      boolean[][] allowed = allowed(random);
      List<int[]> all = all(allowed);
      Limit latency = new Limit(Limit.Kind.LATENCY, 1, 0.1, costs(random, false));
      Limit macs = new Limit(Limit.Kind.MACS, 1, 100, costs(random, true));
      Limit parameters = new Limit(Limit.Kind.PARAMETERS, 1, 7, costs(random, true));
      // Bounds that some architecture meets to the last digit, so that rounding would show.
      int[] one = all.get(random.nextInt(all.size()));
      int[] other = random.nextInt(3) == 0 ? one : all.get(random.nextInt(all.size()));
      double wanted = latency.of(one) / (random.nextBoolean() ? 1 : 1.02);
      List<Limit> limits = new ArrayList<>();
      limits.add(new Limit(Limit.Kind.LATENCY, wanted, latency.fixed(), latency.costs()));
      limits.add(
          new Limit(Limit.Kind.MACS, macs.of(other) * share(random), macs.fixed(), macs.costs()));
      if (round % 2 == 0) {
        limits.add(
            new Limit(
                Limit.Kind.PARAMETERS,
                parameters.of(other) * share(random),
                parameters.fixed(),
                parameters.costs()));
      }
      Budget budget = new Budget(limits);
      boolean exists = all.stream().anyMatch(budget::met);
      BudgetProgram program = new BudgetProgram(budget, allowed);
      Optional<int[]> witness = program.witness();
      String where = "round " + round + ", seed " + SEED;
      assertEquals(exists, witness.isPresent(), where);
      witness.ifPresent(choice -> assertTrue(budget.met(choice), where));
      assertEquals(exists, program.any().filter(budget::met).isPresent(), where);
      Limit last = limits.getLast();
      double least =
          all.stream()
              .filter(c -> limits.stream().limit(limits.size() - 1).allMatch(i -> i.met(i.of(c))))
              .mapToDouble(last::of)
              .min()
              .orElse(Double.POSITIVE_INFINITY);
      assertTrue(program.leastOfLast() <= least + 1e-9, where);
      double most =
          all.stream()
              .filter(c -> limits.stream().limit(limits.size() - 1).allMatch(i -> i.met(i.of(c))))
              .mapToDouble(last::of)
              .max()
              .orElse(Double.NEGATIVE_INFINITY);
      assertTrue(program.mostOfLast() >= most - 1e-9, where);
      opensWhatCanBeCompleted(program, budget, all, random, where);
      possible += exists ? 1 : 0;
      impossible += exists ? 0 : 1;
    }
    assertTrue(possible > 10 && impossible > 10, possible + " and " + impossible + ", " + SEED);
  }

  /** Walks through the layers, each time by an open candidate, as whoever chooses would. */
  private static void opensWhatCanBeCompleted(
      BudgetProgram program, Budget budget, List<int[]> all, Random random, String where) {
    int[] prefix = {};
    List<int[]> left = all.stream().filter(budget::met).toList();
    boolean exists = !left.isEmpty();
    for (int l = 0; l < LAYERS; l++) {
      boolean[] open = program.open(prefix);
      List<Integer> candidates = new ArrayList<>();
      for (int k = 0; k < CANDIDATES; k++) {
        int layer = l;
        int candidate = k;
        boolean expected = left.stream().anyMatch(c -> c[layer] == candidate);
        assertEquals(expected, open[k], where + ", layer " + l + ", candidate " + k);
        if (open[k]) {
          candidates.add(k);
        }
      }
      if (!exists) {
        return;
      }
      int taken = candidates.get(random.nextInt(candidates.size()));
      prefix = Arrays.copyOf(prefix, l + 1);
      prefix[l] = taken;
      int layer = l;
      left = left.stream().filter(c -> c[layer] == taken).toList();
    }
    assertTrue(budget.met(prefix), where);
  }

  @Test
  void aBandAloneAndNoBudgetAtAll() throws Exception {
    Random random = new Random(SEED + 1);
    int gaps = 0;
    for (int round = 0; round < 60; round++) {
      boolean[][] allowed = allowed(random);
      List<int[]> all = all(allowed);
      Limit some = new Limit(Limit.Kind.LATENCY, 1, 0.1, costs(random, false));
      double target = some.of(all.get(random.nextInt(all.size()))) * share(random);
      List<Limit> limits = new ArrayList<>();
      limits.add(new Limit(Limit.Kind.LATENCY, target, some.fixed(), some.costs()));
      if (round % 2 == 0) {
        limits.add(new Limit(Limit.Kind.MOST_LATENCY, target, some.fixed(), some.costs()));
      }
      Budget budget = new Budget(limits);
      BudgetProgram program = new BudgetProgram(budget, allowed);
      String where = "round " + round + ", seed " + SEED;
      assertEquals(all.stream().anyMatch(budget::met), program.witness().isPresent(), where);
      gaps += program.witness().isPresent() ? 0 : 1;
      opensWhatCanBeCompleted(program, budget, all, random, where);
      BudgetProgram free = new BudgetProgram(Budget.NONE, allowed);
      opensWhatCanBeCompleted(free, Budget.NONE, all, random, where);
    }
    assertTrue(gaps > 2, gaps + " gaps, seed " + SEED);
  }

  private static double share(Random random) {
    return random.nextBoolean() ? 1 : 0.5 + random.nextDouble();
  }

  @Test
  void limitsThatOnlyTogetherCannotBeKeptAreRefused() {
    SearchSpace cifar = SearchSpace.load("cifar");
    LatencyTable table = LatencyTable.load("raspi4");
    Limit latency = Limit.latency(table, 40);
    Limit macs = Limit.macs(cifar, 18e6);
    Limit parameters = Limit.parameters(cifar, 0.4e6);
    BudgetCheck.require(new Budget(List.of(latency)), cifar);
    BudgetCheck.require(new Budget(List.of(macs)), cifar);
    String said =
        Refusals.data(
            () -> BudgetCheck.require(new Budget(List.of(macs, latency)), cifar),
            "38.0000 ms to 40.8000 ms",
            "at most 18.000 M multiply-adds",
            "a network takes at least about",
            "or at most about");
    // And so is the slowest that as few multiply-adds allow.
    double slowest = Double.parseDouble(said.replaceAll(".*at most about ([0-9.]+) ms.*", "$1"));
    BudgetCheck.require(
        new Budget(List.of(Limit.latency(table, 0.999 * slowest / 0.95), macs)), cifar);
    Refusals.data(
        () ->
            BudgetCheck.require(
                new Budget(List.of(Limit.latency(table, 1.001 * slowest / 0.95), macs)), cifar));
    // What is said to be needed is about what is: a tenth more, and there is a network.
    double needed =
        Double.parseDouble(said.replaceAll(".*at least about ([0-9.]+) M .*", "$1")) * 1e6;
    BudgetCheck.require(new Budget(List.of(latency, Limit.macs(cifar, 1.001 * needed))), cifar);
    Refusals.data(
        () ->
            BudgetCheck.require(
                new Budget(List.of(latency, Limit.macs(cifar, 0.999 * needed), parameters)),
                cifar));
  }
}
