package io.fbnet.nas.budget;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * A dynamic program over the layers of a space for limits that hold together. Its state before a
 * layer is what the layers before it cost, in bins of every limit but one; its value is the least
 * that the layers from there on add to that one's cost if the others end within theirs. No
 * architecture within the budget is ever passed over, and {@link #witness} and {@link #open} follow
 * the program with the costs as they are.
 */
public final class BudgetProgram {
  /** A table of that many doubles is kept for every layer. */
  private static final int MOST_STATES = 1 << 16;

  /** Steps of a witness's search after which it is given up. */
  private static final int MOST_STEPS = 4_000_000;

  /** So that a sum that comes out a little too large still counts as within. */
  private static final double ROUNDING = 1e-9;

  private final boolean[][] allowed;
  private final int layers;
  private final CostGrid grid;

  /** All bounds, the one that is not binned last. */
  private final List<Bound> bounds;

  /** [layer][state], infinite where the binned bounds cannot be kept. */
  private final double[][] least;

  /** What the layers from one on cost at least and at most, [bound][layer]. */
  private final double[][] restLeast;

  private final double[][] restMost;
  private int stepsLeft;

  /**
   * Computes the tables.
   *
   * @param budget what has to be kept
   * @param allowed which candidates each layer may take
   */
  public BudgetProgram(Budget budget, boolean[][] allowed) {
    this(lastWithoutLeast(Bound.of(budget.limits()), allowed), allowed);
  }

  /** Computes the tables; the last bound's least is not looked at by them. */
  BudgetProgram(List<Bound> bounds, boolean[][] allowed) {
    this.bounds = List.copyOf(bounds);
    this.allowed = allowed;
    layers = allowed.length;
    grid = new CostGrid(bounds.subList(0, bounds.size() - 1), allowed, MOST_STATES);
    restLeast = new double[bounds.size()][];
    restMost = new double[bounds.size()][];
    for (int i = 0; i < bounds.size(); i++) {
      restLeast[i] = bounds.get(i).rest(allowed, 1);
      restMost[i] = bounds.get(i).rest(allowed, -1);
    }
    least = new double[layers + 1][];
    least[layers] = ends();
    for (int l = layers - 1; l >= 0; l--) {
      least[l] = before(l, least[l + 1], 1);
    }
  }

  /** Sums with a least are binned: the table has the least of what follows, not the most. */
  private static List<Bound> lastWithoutLeast(List<Bound> bounds, boolean[][] allowed) {
    List<Bound> sorted = new ArrayList<>(bounds);
    sorted.sort(Comparator.comparingDouble(Bound::least).reversed());
    if (sorted.isEmpty() || sorted.getLast().least() > 0) {
      sorted.add(Bound.free(allowed));
    }
    return sorted;
  }

  private double[] ends() {
    double[] ends = new double[grid.states()];
    for (int s = 0; s < ends.length; s++) {
      ends[s] = grid.ends()[s] ? 0 : Double.POSITIVE_INFINITY;
    }
    return ends;
  }

  /** The table of a layer from that of the next one: of the last bound's costs times a sign. */
  private double[] before(int layer, double[] after, int sign) {
    double[] table = new double[after.length];
    Arrays.fill(table, Double.POSITIVE_INFINITY);
    for (int k = 0; k < allowed[layer].length; k++) {
      double cost = sign * bounds.getLast().costs()[layer][k];
      int step = grid.step(layer, k);
      grid.runs(
          layer,
          k,
          (from, to) -> {
            for (int s = from; s < to; s++) {
              table[s] = Math.min(table[s], cost + after[s + step]);
            }
          });
    }
    return table;
  }

  /**
   * The least of the last bound's sums at which the others can be kept, never more than it is;
   * infinite where they cannot be kept at all.
   */
  double leastOfLast() {
    return least[0].length == 0 ? Double.POSITIVE_INFINITY : bounds.getLast().fixed() + least[0][0];
  }

  /** The largest of them, never less than it is; minus infinity where there is none. */
  double mostOfLast() {
    double[] table = ends();
    for (int l = layers - 1; l >= 0; l--) {
      table = before(l, table, -1);
    }
    return table.length == 0 ? Double.NEGATIVE_INFINITY : bounds.getLast().fixed() - table[0];
  }

  /** That there may be an architecture within a budget, but none was found in reasonable time. */
  static final class SearchTooLong extends Exception {
    private static final long serialVersionUID = 1L;

    SearchTooLong() {
      super("too many near misses");
    }
  }

  /**
   * An architecture that keeps every bound; empty where there is none.
   *
   * @throws SearchTooLong where so many near misses were found that it is not known
   */
  Optional<int[]> witness() throws SearchTooLong {
    int[] choice = new int[layers];
    return complete(choice, 0) ? Optional.of(choice) : Optional.empty();
  }

  /** {@return an architecture within the budget; empty where none is, or none was found in time} */
  public Optional<int[]> any() {
    try {
      return witness();
    } catch (SearchTooLong unknown) {
      return Optional.empty();
    }
  }

  /**
   * {@return which candidates the next layer may take so that the layers after it can still end
   * within the budget; none where the first ones have spent it}
   *
   * <p>For each that may be taken an architecture was found that begins so, and it is found again
   * from there, so whoever takes one finds one open in the layer after it. Where near misses are so
   * many that this takes too long, a candidate counts as closed.
   *
   * @param first the candidates of the first layers, fewer than there are layers
   */
  public boolean[] open(int... first) {
    boolean[] open = new boolean[allowed[first.length].length];
    int[] choice = Arrays.copyOf(first, layers);
    for (int k = 0; k < open.length; k++) {
      choice[first.length] = k;
      try {
        open[k] = complete(choice, first.length + 1);
      } catch (SearchTooLong unknown) {
        open[k] = false;
      }
    }
    return open;
  }

  /** Completes an architecture whose first layers are given, the first way in order. */
  private boolean complete(int[] choice, int given) throws SearchTooLong {
    stepsLeft = MOST_STEPS;
    double[] sums = bounds.stream().mapToDouble(Bound::fixed).toArray();
    int state = grid.states() == 0 ? -1 : 0;
    for (int l = 0; l < given && state >= 0; l++) {
      state = allowed[l][choice[l]] ? grid.next(state, l, choice[l]) : -1;
      for (int i = 0; i < sums.length; i++) {
        sums[i] += bounds.get(i).costs()[l][choice[l]];
      }
    }
    return state >= 0 && mayEnd(given, state, sums) && follow(choice, given, state, sums);
  }

  private boolean follow(int[] choice, int layer, int state, double[] costs) throws SearchTooLong {
    if (stepsLeft-- <= 0) {
      throw new SearchTooLong();
    }
    if (layer == layers) {
      return bounds.stream()
          .allMatch(bound -> bound.of(choice) >= bound.least() && bound.of(choice) <= bound.most());
    }
    double[] sums = new double[costs.length];
    for (int k = 0; k < allowed[layer].length; k++) {
      int next = allowed[layer][k] ? grid.next(state, layer, k) : -1;
      if (next >= 0) {
        for (int i = 0; i < sums.length; i++) {
          sums[i] = costs[i] + bounds.get(i).costs()[layer][k];
        }
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
      Bound bound = bounds.get(i);
      double rounding = ROUNDING * bound.most();
      double rest = i == costs.length - 1 ? least[layer][state] : restLeast[i][layer];
      if (costs[i] + rest > bound.most() + rounding
          || costs[i] + restMost[i][layer] < bound.least() - rounding) {
        return false;
      }
    }
    return true;
  }
}
