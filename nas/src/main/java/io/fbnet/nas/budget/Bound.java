package io.fbnet.nas.budget;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A sum over layers and where it must lie: limits of the same costs are one.
 *
 * @param fixed what every architecture pays
 * @param costs what the candidates of each layer add, [layer][candidate]
 * @param least the least sum that is allowed
 * @param most the largest; less than the least where nothing is
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Bound(double fixed, double[][] costs, double least, double most) {
  /** The bounds of a budget, in the order of its limits. */
  static List<Bound> of(List<Limit> limits) {
    List<Bound> bounds = new ArrayList<>();
    for (Limit limit : limits) {
      Bound bound = new Bound(limit.fixed(), limit.costs(), limit.least(), limit.most());
      int same = 0;
      while (same < bounds.size() && !bounds.get(same).sameCosts(bound)) {
        same++;
      }
      if (same == bounds.size()) {
        bounds.add(bound);
      } else {
        bounds.set(same, bounds.get(same).with(bound));
      }
    }
    return bounds;
  }

  private boolean sameCosts(Bound other) {
    return fixed == other.fixed && Arrays.deepEquals(costs, other.costs);
  }

  private Bound with(Bound other) {
    return new Bound(fixed, costs, Math.max(least, other.least), Math.min(most, other.most));
  }

  /** A bound on nothing. */
  static Bound free(boolean[][] allowed) {
    double[][] costs = new double[allowed.length][];
    for (int l = 0; l < costs.length; l++) {
      costs[l] = new double[allowed[l].length];
    }
    return new Bound(0, costs, 0, Double.MAX_VALUE);
  }

  /** What an architecture costs. */
  double of(int[] choice) {
    double sum = fixed;
    for (int l = 0; l < choice.length; l++) {
      sum += costs[l][choice[l]];
    }
    return sum;
  }

  /** Of each layer and the ones after it the sum of the least, or with sign -1 the largest cost. */
  double[] rest(boolean[][] allowed, int sign) {
    double[] sums = new double[allowed.length + 1];
    for (int l = allowed.length - 1; l >= 0; l--) {
      double best = Double.POSITIVE_INFINITY;
      for (int k = 0; k < allowed[l].length; k++) {
        best = allowed[l][k] ? Math.min(best, sign * costs[l][k]) : best;
      }
      sums[l] = sums[l + 1] + sign * best;
    }
    return sums;
  }
}
