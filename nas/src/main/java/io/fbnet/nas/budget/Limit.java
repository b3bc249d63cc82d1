package io.fbnet.nas.budget;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * One cost of an architecture, a sum over its layers, and how much of it is allowed.
 *
 * @param kind what is counted
 * @param target how much of it, in the kind's unit
 * @param fixed what every architecture pays
 * @param costs what the candidates of each layer add, [layer][candidate]
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Limit(Kind kind, double target, double fixed, double[][] costs) {
  /** What can be limited. */
  public enum Kind {
    /** Milliseconds of the latency table; the target is to be used up, not only kept. */
    LATENCY("latency", 0.95, 1.02),
    /** The same as a limit that no network goes beyond. */
    MOST_LATENCY("most latency", 0, 1),
    /** Multiply-adds. */
    MACS("multiply-adds", 0, 1),
    /** Trainable numbers. */
    PARAMETERS("parameters", 0, 1);

    private final String word;
    private final double least;
    private final double most;

    Kind(String word, double least, double most) {
      this.word = word;
      this.least = least;
      this.most = most;
    }

    /** {@return what messages call it} */
    public String word() {
      return word;
    }

    /** {@return whether it is counted in milliseconds of a latency table} */
    public boolean isLatency() {
      return this == LATENCY || this == MOST_LATENCY;
    }

    /** {@return the least share of the target that may be used, 0 where there is none} */
    public double least() {
      return least;
    }

    /** {@return the largest share of the target that may be used} */
    public double most() {
      return most;
    }

    /**
     * {@return an amount for people}
     *
     * @param amount ms or a count
     */
    public String text(double amount) {
      return isLatency()
          ? String.format(Locale.ROOT, "%.4f ms", amount)
          : String.format(Locale.ROOT, "%.3f M %s", amount / 1e6, word);
    }
  }

  /**
   * {@return a target for a table's sums, to be used up from 0.95 to 1.02}
   *
   * @param table whose sums count
   * @param ms the target
   */
  public static Limit latency(LatencyTable table, double ms) {
    return new Limit(Kind.LATENCY, ms, table.fixed(), table.layers());
  }

  /**
   * {@return a limit that no network's sum goes beyond}
   *
   * @param table whose sums count
   * @param ms the largest that is allowed
   */
  public static Limit mostLatency(LatencyTable table, double ms) {
    return new Limit(Kind.MOST_LATENCY, ms, table.fixed(), table.layers());
  }

  /**
   * {@return a limit of multiply-adds}
   *
   * @param space whose networks are counted
   * @param most allowed
   */
  public static Limit macs(SearchSpace space, double most) {
    return counted(space, Kind.MACS, most);
  }

  /**
   * {@return a limit of trainable numbers}
   *
   * @param space whose networks are counted
   * @param most allowed
   */
  public static Limit parameters(SearchSpace space, double most) {
    return counted(space, Kind.PARAMETERS, most);
  }

  private static Limit counted(SearchSpace space, Kind kind, double most) {
    List<LayerSpec> layers = space.layers();
    double[][] costs = new double[layers.size()][];
    List<Block> some = new ArrayList<>();
    for (int l = 0; l < costs.length; l++) {
      LayerSpec place = layers.get(l);
      costs[l] =
          space.blocks().stream()
              .mapToDouble(block -> amount(kind, Description.layer(space, place, block)))
              .toArray();
      some.add(
          space.blocks().stream().filter(b -> space.allows(place, b)).findFirst().orElseThrow());
    }
    Architecture network = new Architecture("", space, some);
    double whole =
        Description.of(network).layers().stream().mapToDouble(layer -> amount(kind, layer)).sum();
    double fixed = whole - new Limit(kind, most, 0, costs).of(network.choice());
    return new Limit(kind, most, fixed, costs);
  }

  private static double amount(Kind kind, Description.Layer layer) {
    return kind == Kind.MACS ? layer.macs() : layer.parameters();
  }

  /**
   * {@return the candidate of each layer whose cost times {@code sign} is the least, the first of
   * equal ones}
   *
   * @param allowed which candidates each layer may take
   * @param sign 1 for the cheapest architecture, -1 for the dearest
   */
  public int[] extreme(boolean[][] allowed, int sign) {
    int[] choice = new int[allowed.length];
    for (int l = 0; l < choice.length; l++) {
      double best = Double.POSITIVE_INFINITY;
      for (int k = 0; k < allowed[l].length; k++) {
        if (allowed[l][k] && sign * costs[l][k] < best) {
          best = sign * costs[l][k];
          choice[l] = k;
        }
      }
    }
    return choice;
  }

  /**
   * {@return the cost of an architecture}
   *
   * @param choice one candidate a layer
   */
  public double of(int[] choice) {
    double sum = fixed;
    for (int l = 0; l < choice.length; l++) {
      sum += costs[l][choice[l]];
    }
    return sum;
  }

  /**
   * {@return the expected cost of a draw}
   *
   * @param probabilities [layer][candidate]
   */
  public double expected(double[][] probabilities) {
    double sum = fixed;
    for (int l = 0; l < costs.length; l++) {
      for (int k = 0; k < costs[l].length; k++) {
        sum += probabilities[l][k] * costs[l][k];
      }
    }
    return sum;
  }

  /** {@return the least cost that is allowed} */
  public double least() {
    return kind.least() * target;
  }

  /** {@return the largest cost that is allowed} */
  public double most() {
    return kind.most() * target;
  }

  /**
   * {@return whether a cost is allowed}
   *
   * @param cost of an architecture
   */
  public boolean met(double cost) {
    return cost >= least() && cost <= most();
  }
}
