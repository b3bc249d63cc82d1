package io.fbnet.nas.search;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A dynamic program over the layers of a space for limits that hold together. Its state before a
 * layer is what the layers before it cost, in bins of every limit but the last, each cost counted
 * above its layer's least; its value is the least that the layers from there on add to the last
 * limit's cost if the others end within theirs. Costs are rounded down and bounds are widened by
 * what that can lose, so no architecture within the budget is ever passed over; {@link #witness}
 * then follows the program with the costs as they are.
 */
final class BudgetProgram {
  /** Of all binned limits together; a table of that many doubles is kept for every layer. */
  private static final int MOST_STATES = 1 << 18;

  /** Steps of a witness's search after which it is given up. */
  private static final int MOST_STEPS = 20_000_000;

  /** So that a quotient that comes out a little too large is still rounded down. */
  private static final double ROUNDING = 1e-9;

  private final List<Limit> limits;
  private final boolean[][] allowed;
  private final int layers;

  /** Limits that are binned; the one after them is not. */
  private final int binned;

  private final int[] sizes;

  /** What a candidate adds to a state's number, [layer][candidate]; -1 where it never fits. */
  private final int[][] steps;

  /** The same by limit, [limit][layer][candidate]. */
  private final int[][][] bins;

  /** [layer][state], infinite where the binned limits cannot be kept. */
  private final double[][] least;

  /** What the layers from one on cost at least and at most, [limit][layer]. */
  private final double[][] restLeast;

  private final double[][] restMost;
  private int stepsLeft = MOST_STEPS;

  /**
   * Computes the tables.
   *
   * @param limits one or more; the last has no least
   * @param allowed which candidates each layer may take
   */
  BudgetProgram(List<Limit> limits, boolean[][] allowed) {
    if (limits.getLast().least() > 0) {
      throw new IllegalArgumentException("the last limit is only one of the most");
    }
    this.limits = List.copyOf(limits);
    this.allowed = allowed;
    layers = allowed.length;
    binned = limits.size() - 1;
    restLeast = new double[limits.size()][];
    restMost = new double[limits.size()][];
    for (int i = 0; i < limits.size(); i++) {
      restLeast[i] = rest(limits.get(i), 1);
      restMost[i] = rest(limits.get(i), -1);
    }
    sizes = new int[binned];
    bins = new int[binned][][];
    int each = (int) Math.floor(Math.pow(MOST_STATES, 1.0 / Math.max(1, binned)));
    boolean[] ends = {true};
    for (int i = 0; i < binned; i++) {
      Limit limit = limits.get(i);
      double base = limit.fixed() + restLeast[i][0];
      double room = Math.min(limit.most(), limit.fixed() + restMost[i][0]) - base;
      double width = room > 0 ? room / (each - 1) : Double.MIN_NORMAL;
      sizes[i] = room >= 0 ? each : 0;
      bins[i] = bins(limit, i, width);
      // Every layer may have lost a bin.
      double from = Math.floor((limit.least() - base) / width - ROUNDING) - layers;
      boolean[] inside = new boolean[ends.length * sizes[i]];
      for (int s = 0; s < inside.length; s++) {
        inside[s] = ends[s / sizes[i]] && s % sizes[i] >= from;
      }
      ends = inside;
    }
    steps = steps();
    least = table(ends);
  }

  /** Of each layer and the ones after it the sum of the least, or with sign -1 the largest cost. */
  private double[] rest(Limit limit, int sign) {
    double[] sums = new double[layers + 1];
    for (int l = layers - 1; l >= 0; l--) {
      double best = Double.POSITIVE_INFINITY;
      for (int k = 0; k < allowed[l].length; k++) {
        best = allowed[l][k] ? Math.min(best, sign * limit.costs()[l][k]) : best;
      }
      sums[l] = sums[l + 1] + sign * best;
    }
    return sums;
  }

  private int[][] bins(Limit limit, int i, double width) {
    int[][] result = new int[layers][];
    for (int l = 0; l < layers; l++) {
      double base = restLeast[i][l] - restLeast[i][l + 1];
      result[l] = new int[allowed[l].length];
      for (int k = 0; k < result[l].length; k++) {
        double above = (limit.costs()[l][k] - base) / width;
        result[l][k] = (int) Math.max(0, Math.floor(above - ROUNDING));
      }
    }
    return result;
  }

  private int[][] steps() {
    int[][] result = new int[layers][];
    for (int l = 0; l < layers; l++) {
      result[l] = new int[allowed[l].length];
      for (int k = 0; k < result[l].length; k++) {
        int step = 0;
        for (int i = 0; i < binned; i++) {
          step = bins[i][l][k] < sizes[i] && step >= 0 ? step * sizes[i] + bins[i][l][k] : -1;
        }
        result[l][k] = allowed[l][k] ? step : -1;
      }
    }
    return result;
  }

  private double[][] table(boolean[] ends) {
    double[][] table = new double[layers + 1][ends.length];
    for (int s = 0; s < ends.length; s++) {
      table[layers][s] = ends[s] ? 0 : Double.POSITIVE_INFINITY;
    }
    Limit last = limits.getLast();
    for (int l = layers - 1; l >= 0; l--) {
      Arrays.fill(table[l], Double.POSITIVE_INFINITY);
      for (int k = 0; k < steps[l].length; k++) {
        if (steps[l][k] >= 0) {
          double cost = last.costs()[l][k];
          for (int s = 0; s < ends.length; s++) {
            if (fits(s, l, k)) {
              table[l][s] = Math.min(table[l][s], cost + table[l + 1][s + steps[l][k]]);
            }
          }
        }
      }
    }
    return table;
  }

  /** Whether a candidate keeps every binned limit's part of a state within its size. */
  private boolean fits(int state, int layer, int candidate) {
    int rest = state;
    for (int i = binned - 1; i >= 0; i--) {
      if (rest % sizes[i] + bins[i][layer][candidate] >= sizes[i]) {
        return false;
      }
      rest /= sizes[i];
    }
    return true;
  }

  /**
   * The least of the last limit's cost at which the others can be kept, never more than it is;
   * infinite where they cannot be kept at all.
   */
  double leastOfLast() {
    return least[0].length == 0 ? Double.POSITIVE_INFINITY : limits.getLast().fixed() + least[0][0];
  }

  /**
   * An architecture that keeps every limit; empty where there is none.
   *
   * @throws SearchTooLong where so many near misses were found that it is not known
   */
  Optional<int[]> witness() throws SearchTooLong {
    int[] choice = new int[layers];
    double[] costs = limits.stream().mapToDouble(Limit::fixed).toArray();
    boolean found = least[0].length > 0 && follow(choice, 0, 0, costs);
    return found ? Optional.of(choice) : Optional.empty();
  }

  /** That there may be an architecture within a budget, but none was found in reasonable time. */
  static final class SearchTooLong extends Exception {
    private static final long serialVersionUID = 1L;

    SearchTooLong() {
      super("too many near misses");
    }
  }

  private boolean follow(int[] choice, int layer, int state, double[] costs) throws SearchTooLong {
    if (stepsLeft-- <= 0) {
      throw new SearchTooLong();
    }
    if (layer == layers) {
      return limits.stream().allMatch(limit -> limit.met(limit.of(choice)));
    }
    for (int k = 0; k < allowed[layer].length; k++) {
      if (steps[layer][k] >= 0 && fits(state, layer, k)) {
        double[] sums = costs.clone();
        for (int i = 0; i < sums.length; i++) {
          sums[i] += limits.get(i).costs()[layer][k];
        }
        int next = state + steps[layer][k];
        choice[layer] = k;
        if (mayEnd(layer + 1, next, sums) && follow(choice, layer + 1, next, sums)) {
          return true;
        }
      }
    }
    return false;
  }

  private boolean mayEnd(int layer, int state, double[] costs) {
    for (int i = 0; i < costs.length; i++) {
      Limit limit = limits.get(i);
      double rounding = ROUNDING * limit.most();
      double rest = i == binned ? least[layer][state] : restLeast[i][layer];
      if (costs[i] + rest > limit.most() + rounding
          || costs[i] + restMost[i][layer] < limit.least() - rounding) {
        return false;
      }
    }
    return true;
  }
}
