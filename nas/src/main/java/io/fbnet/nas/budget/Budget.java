package io.fbnet.nas.budget;

import io.fbnet.nas.network.SupernetGraphs.Penalty;
import java.util.List;

/**
 * What the architecture may cost: any number of limits that hold together. The theta step's loss
 * gets a term lambda * (E[cost] / target - 1) for each, and {@link DualAscent} moves lambda.
 *
 * @param limits at most one of a kind
 */
public record Budget(List<Limit> limits) {
  /** Everything is allowed. */
  public static final Budget NONE = new Budget(List.of());

  /** Copies the list. */
  public Budget {
    limits = List.copyOf(limits);
  }

  /** {@return whether nothing is limited} */
  public boolean isEmpty() {
    return limits.isEmpty();
  }

  /** {@return whether latency is limited, and not only what costs it} */
  public boolean limitsLatency() {
    return limits.stream().anyMatch(limit -> limit.kind().isLatency());
  }

  /**
   * {@return whether an architecture keeps every limit}
   *
   * @param choice one candidate a layer
   */
  public boolean met(int[] choice) {
    return limits.stream().allMatch(limit -> limit.met(limit.of(choice)));
  }

  /** {@return the terms of the loss} */
  public List<Penalty> penalties() {
    return limits.stream().map(Budget::penalty).toList();
  }

  private static Penalty penalty(Limit limit) {
    double scale = 1 / limit.target();
    double[][] costs = limit.costs();
    double[][] scaled = new double[costs.length][];
    for (int l = 0; l < costs.length; l++) {
      scaled[l] = new double[costs[l].length];
      for (int k = 0; k < costs[l].length; k++) {
        scaled[l][k] = costs[l][k] * scale;
      }
    }
    return new Penalty(control(limit), excess(limit), limit.fixed() * scale - 1, scaled);
  }

  /**
   * {@return the control scalar that holds a limit's lambda}
   *
   * @param limit of a budget
   */
  public static String control(Limit limit) {
    return "lambda " + limit.kind().word();
  }

  /**
   * {@return the output of the theta step that holds E[cost] / target - 1}
   *
   * @param limit of a budget
   */
  public static String excess(Limit limit) {
    return "excess " + limit.kind().word();
  }
}
