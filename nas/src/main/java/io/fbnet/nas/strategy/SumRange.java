package io.fbnet.nas.strategy;

import io.fbnet.engine.random.Philox;
import java.util.Arrays;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The networks whose cost, a sum of whole numbers over layers, is in a range. Exact: of the layers
 * from each one on it keeps every sum there is and how many ways lead to it. So it is for costs of
 * which few sums differ, as multiply-adds of small spaces.
 */
public final class SumRange implements Feasible {
  private static final int STREAM = 6;
  private static final int MOST_SUMS = 1 << 20;

  private final long[][] costs;
  private final boolean[][] allowed;
  private final long least;
  private final long most;

  /** The sums of the layers from one on in ascending order, [layer][...]. */
  private final long[][] sums;

  /** In how many ways the layers from one on reach any sum before this one, [layer][...]. */
  private final double[][] before;

  /**
   * Finds the sums.
   *
   * @param costs [layer][candidate]
   * @param allowed which candidates each layer may take
   * @param least of the sum, included
   * @param most of the sum, included
   * @throws IllegalArgumentException if no network is in the range, or more than a million sums
   *     differ
   */
  public SumRange(long[][] costs, boolean[][] allowed, long least, long most) {
    this.costs = Arrays.stream(costs).map(long[]::clone).toArray(long[][]::new);
    this.allowed = Arrays.stream(allowed).map(boolean[]::clone).toArray(boolean[][]::new);
    this.least = least;
    this.most = most;
    int layers = costs.length;
    sums = new long[layers + 1][];
    before = new double[layers + 1][];
    TreeMap<Long, Double> ways = new TreeMap<>(Map.of(0L, 1.0));
    keep(layers, ways);
    for (int l = layers - 1; l >= 0; l--) {
      TreeMap<Long, Double> next = new TreeMap<>();
      for (int k = 0; k < costs[l].length; k++) {
        if (allowed[l][k]) {
          for (Map.Entry<Long, Double> sum : ways.entrySet()) {
            next.merge(Math.addExact(sum.getKey(), costs[l][k]), sum.getValue(), Double::sum);
          }
        }
      }
      if (next.size() > MOST_SUMS) {
        throw new IllegalArgumentException("more than " + MOST_SUMS + " sums of costs differ");
      }
      ways = next;
      keep(l, ways);
    }
    if (!(size() > 0)) {
      throw new IllegalArgumentException("no network costs from " + least + " to " + most);
    }
  }

  private void keep(int layer, SortedMap<Long, Double> ways) {
    sums[layer] = ways.keySet().stream().mapToLong(Long::longValue).toArray();
    before[layer] = new double[sums[layer].length + 1];
    int i = 0;
    for (double count : ways.values()) {
      before[layer][i + 1] = before[layer][i] + count;
      i++;
    }
  }

  /** {@return how many networks are inside; exact below 2^53} */
  public double size() {
    return ways(0, 0);
  }

  /** In how many ways the layers from one on end inside behind layers that cost this much. */
  private double ways(int layer, long spent) {
    int from = place(sums[layer], least - spent);
    int to = place(sums[layer], most - spent + 1);
    return to > from ? before[layer][to] - before[layer][from] : 0;
  }

  /** How many sums are below a number. */
  private static int place(long[] sums, long number) {
    int found = Arrays.binarySearch(sums, number);
    return found >= 0 ? found : -found - 1;
  }

  private long spent(int[] prefix, int layers) {
    long sum = 0;
    for (int l = 0; l < layers; l++) {
      sum += costs[l][prefix[l]];
    }
    return sum;
  }

  @Override
  public boolean met(int[] choice) {
    for (int l = 0; l < costs.length; l++) {
      if (!allowed[l][choice[l]]) {
        return false;
      }
    }
    long cost = spent(choice, costs.length);
    return cost >= least && cost <= most;
  }

  @Override
  public boolean[] mayTake(int[] prefix, int layer) {
    long spent = spent(prefix, layer);
    boolean[] may = new boolean[costs[layer].length];
    for (int k = 0; k < may.length; k++) {
      may[k] = allowed[layer][k] && ways(layer + 1, spent + costs[layer][k]) > 0;
    }
    return may;
  }

  @Override
  public int[] uniform(long seed, long index) {
    int[] choice = new int[costs.length];
    long spent = 0;
    int[] words = new int[4];
    for (int l = 0; l < choice.length; l++) {
      Philox.block(seed, STREAM, index, l, words);
      long bits = (long) (words[0] >>> 5) << 26 | words[1] >>> 6;
      double left = bits * 0x1p-53 * ways(l, spent);
      for (int k = 0; k < costs[l].length; k++) {
        double ways = allowed[l][k] ? ways(l + 1, spent + costs[l][k]) : 0;
        if (ways > 0) {
          choice[l] = k;
          left -= ways;
          if (left < 0) {
            break;
          }
        }
      }
      spent += costs[l][choice[l]];
    }
    return choice;
  }
}
