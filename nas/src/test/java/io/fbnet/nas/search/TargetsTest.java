package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.BudgetDraws;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Problem;
import io.fbnet.nas.strategy.Strategy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever the strategy and the device, what is found takes 0.95 to 1.02 of the target: controllers
 * propose nothing else, and nothing else is drawn from theta.
 */
class TargetsTest {
  private static final long SEED = 20261128L;
  private static final int PROPOSALS = 40;

  @ParameterizedTest
  @ValueSource(strings = {"raspi4", "titan_rtx_64", "samsung_s7", "fpga"})
  void theTargetHoldsForEveryStrategy(String name) {
    SearchSpace space = SearchSpace.load("cifar");
    LatencyTable table = LatencyTable.load(name);
    double least = table.latencyOf(table.fastest());
    double mean = table.expected(Theta.uniform(space).probabilities());
    for (double share : new double[] {0.4, 0.8}) {
      double target = least + share * (mean - least);
      Budget budget = new Budget(List.of(Limit.latency(table, target)));
      BudgetNetworks inside = new BudgetNetworks(budget, space.allowed());
      for (Strategy strategy : Strategy.values()) {
        Problem problem = new Problem(space.allowed(), inside, OptionalDouble.of(target), SEED);
        Controller controller = strategy.begin(problem);
        Random accuracies = new Random(SEED);
        for (int i = 0; i < PROPOSALS; i++) {
          int[] choice = controller.propose().orElseThrow();
          double ms = table.latencyOf(choice);
          requireWithin(ms / target, name + ", " + strategy + ", proposal " + i);
          controller.feedback(choice, accuracies.nextDouble(), ms);
        }
      }
      for (double[][] theta : List.of(Theta.uniform(space).probabilities(), sure(space))) {
        List<int[]> drawn =
            new BudgetDraws(budget, space.allowed(), theta)
                .distinct(SEED, 1, PROPOSALS, new ArrayList<>());
        assertEquals(PROPOSALS, drawn.size(), name);
        for (int[] choice : drawn) {
          requireWithin(table.latencyOf(choice) / target, name + ", drawn from theta");
        }
      }
    }
  }

  /** A theta that has almost decided for the largest candidates. */
  private static double[][] sure(SearchSpace space) {
    boolean[][] allowed = space.allowed();
    double[][] probabilities = new double[allowed.length][];
    for (int l = 0; l < allowed.length; l++) {
      probabilities[l] = new double[allowed[l].length];
      double sum = 0;
      for (int k = 0; k < allowed[l].length; k++) {
        probabilities[l][k] = allowed[l][k] ? Math.exp(0.5 * k) : 0;
        sum += probabilities[l][k];
      }
      double total = sum;
      probabilities[l] = Arrays.stream(probabilities[l]).map(p -> p / total).toArray();
    }
    return probabilities;
  }

  private static void requireWithin(double share, String what) {
    assertTrue(share >= 0.95 && share <= 1.02, share + " of the target: " + what + ", " + SEED);
  }
}
