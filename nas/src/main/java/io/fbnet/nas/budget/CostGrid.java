package io.fbnet.nas.budget;

import java.util.List;

/**
 * What the first layers of an architecture cost, in bins: a state is one bin for each of several
 * sums, each counted above the least that its layers can cost. Costs are rounded down, and bounds
 * are widened by exactly what rounding can lose, so the states that count as within them hold every
 * architecture that is, and beside them only near misses.
 */
final class CostGrid {
  /** So that a quotient that comes out a little too large is still rounded down. */
  private static final double ROUNDING = 1e-9;

  private final int dimensions;
  private final int[] sizes;

  /** What a candidate adds to each sum, [sum][layer][candidate]. */
  private final int[][][] bins;

  /** The same as a difference of states, [layer][candidate]; -1 where it never fits. */
  private final int[][] steps;

  private final boolean[] ends;

  /** Takes states from {@code from} to before {@code to}. */
  interface Run {
    void accept(int from, int to);
  }

  /**
   * Rounds the costs.
   *
   * @param bounds none or more
   * @param allowed which candidates each layer may take
   * @param mostStates of all sums together
   */
  CostGrid(List<Bound> bounds, boolean[][] allowed, int mostStates) {
    dimensions = bounds.size();
    sizes = new int[dimensions];
    bins = new int[dimensions][][];
    int each = (int) Math.floor(Math.pow(mostStates, 1.0 / Math.max(1, dimensions)));
    boolean[] inside = {true};
    for (int i = 0; i < dimensions; i++) {
      Bound bound = bounds.get(i);
      double[] rest = bound.rest(allowed, 1);
      double base = bound.fixed() + rest[0];
      double highest = bound.fixed() + bound.rest(allowed, -1)[0];
      double room = Math.min(bound.most(), highest) - base;
      double width = room > 0 ? room / (each - 1) : Double.MIN_NORMAL;
      sizes[i] = room >= 0 && bound.least() <= bound.most() ? each : 0;
      bins[i] = new int[allowed.length][];
      double lost = 0;
      for (int l = 0; l < allowed.length; l++) {
        lost += round(bound, i, l, allowed[l], rest[l] - rest[l + 1], width);
      }
      double from = Math.floor((bound.least() - base) / width - lost - ROUNDING);
      boolean[] both = new boolean[inside.length * sizes[i]];
      for (int s = 0; s < both.length; s++) {
        both[s] = inside[s / sizes[i]] && s % sizes[i] >= from;
      }
      inside = both;
    }
    ends = inside;
    steps = steps(allowed);
  }

  /** Rounds a layer's costs and returns the most that this loses, in bins. */
  private double round(Bound bound, int i, int l, boolean[] allowed, double base, double width) {
    bins[i][l] = new int[allowed.length];
    double lost = 0;
    for (int k = 0; k < allowed.length; k++) {
      double above = (bound.costs()[l][k] - base) / width;
      bins[i][l][k] = (int) Math.max(0, Math.floor(above - ROUNDING));
      // What does not fit anyway ends no architecture.
      if (allowed[k] && bins[i][l][k] < sizes[i]) {
        lost = Math.max(lost, above - bins[i][l][k]);
      }
    }
    return lost;
  }

  private int[][] steps(boolean[][] allowed) {
    int[][] result = new int[allowed.length][];
    for (int l = 0; l < allowed.length; l++) {
      result[l] = new int[allowed[l].length];
      for (int k = 0; k < result[l].length; k++) {
        int step = 0;
        for (int i = 0; i < dimensions; i++) {
          step = bins[i][l][k] < sizes[i] && step >= 0 ? step * sizes[i] + bins[i][l][k] : -1;
        }
        result[l][k] = allowed[l][k] ? step : -1;
      }
    }
    return result;
  }

  /** How many states there are; 0 where a bound alone cannot be kept. The first one is number 0. */
  int states() {
    return ends.length;
  }

  /** The states behind the last layer that may be within the bounds; not to be changed. */
  boolean[] ends() {
    return ends;
  }

  /** The state behind a layer in which a candidate was taken; -1 where that is out of bounds. */
  int next(int state, int layer, int candidate) {
    return steps[layer][candidate] >= 0 && fits(state, layer, candidate, dimensions)
        ? state + steps[layer][candidate]
        : -1;
  }

  /** What a candidate adds to the number of a state from which it fits. */
  int step(int layer, int candidate) {
    return steps[layer][candidate];
  }

  /** Goes through all states from which a candidate fits, in runs of neighbours. */
  void runs(int layer, int candidate, Run run) {
    if (steps[layer][candidate] < 0 || states() == 0) {
      return;
    }
    int size = dimensions == 0 ? 1 : sizes[dimensions - 1];
    int fitting = dimensions == 0 ? 1 : size - bins[dimensions - 1][layer][candidate];
    for (int row = 0; row * size < states(); row++) {
      if (fits(row, layer, candidate, dimensions - 1)) {
        run.accept(row * size, row * size + fitting);
      }
    }
  }

  /** Whether a candidate keeps the first sums of a state, numbered without the others, in range. */
  private boolean fits(int state, int layer, int candidate, int first) {
    int rest = state;
    for (int i = first - 1; i >= 0; i--) {
      if (rest % sizes[i] + bins[i][layer][candidate] >= sizes[i]) {
        return false;
      }
      rest /= sizes[i];
    }
    return true;
  }
}
