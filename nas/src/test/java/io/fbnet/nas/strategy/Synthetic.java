package io.fbnet.nas.strategy;

import java.util.Arrays;
import java.util.OptionalDouble;

/** A space of seven layers with two to four candidates, made costs, and accuracies by a formula. */
final class Synthetic {
  static final long[][] COSTS = {
    {1, 7, 12}, {3, 5}, {2, 2, 9, 13}, {0, 8, 11}, {4, 6, 10, 15}, {2, 6, 7}, {0, 5, 9},
  };
  static final long LEAST = 36;
  static final long MOST = 46;

  private Synthetic() {}

  /** The third layer may not take its second candidate, the fifth not its first. */
  static boolean[][] allowed() {
    boolean[][] allowed = new boolean[COSTS.length][];
    for (int l = 0; l < COSTS.length; l++) {
      allowed[l] = new boolean[COSTS[l].length];
      Arrays.fill(allowed[l], true);
    }
    allowed[2][1] = false;
    allowed[4][0] = false;
    return allowed;
  }

  static SumRange range() {
    return new SumRange(COSTS, allowed(), LEAST, MOST);
  }

  static Problem problem(long seed) {
    return new Problem(allowed(), range(), OptionalDouble.of((double) MOST), seed);
  }

  static double cost(int[] choice) {
    double sum = 0;
    for (int l = 0; l < choice.length; l++) {
      sum += COSTS[l][choice[l]];
    }
    return sum;
  }

  /** Not a sum over layers: neighbours that are equal help. */
  static double accuracy(int[] choice) {
    double sum = 0.4 + 0.004 * cost(choice);
    for (int l = 1; l < choice.length; l++) {
      sum += choice[l] == choice[l - 1] ? 0.03 : 0.01 * Math.sin(7 * l + choice[l]);
    }
    return sum;
  }

  /** All choices, inside the budget or not. */
  static int[][] all() {
    int size = Arrays.stream(COSTS).mapToInt(c -> c.length).reduce(1, (a, b) -> a * b);
    int[][] all = new int[size][COSTS.length];
    for (int i = 0; i < size; i++) {
      int rest = i;
      for (int l = 0; l < COSTS.length; l++) {
        all[i][l] = rest % COSTS[l].length;
        rest /= COSTS[l].length;
      }
    }
    return all;
  }

  static boolean inside(int[] choice) {
    boolean[][] allowed = allowed();
    for (int l = 0; l < choice.length; l++) {
      if (!allowed[l][choice[l]]) {
        return false;
      }
    }
    return cost(choice) >= LEAST && cost(choice) <= MOST;
  }
}
