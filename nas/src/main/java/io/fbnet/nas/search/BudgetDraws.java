package io.fbnet.nas.search;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Draws architectures that keep a budget. Of all distributions whose expected cost is in the middle
 * of what is allowed, the nearest to theta's (by Kullback-Leibler divergence) is theta's times
 * exp(-mu * cost), which is again one softmax a layer; draws from it that break the budget are
 * thrown away.
 */
final class BudgetDraws {
  private static final int TRIES = 200_000;
  private static final int ROUNDS = 20;
  private static final int HALVINGS = 60;
  private static final double LARGEST_TILT = 1e4;

  private BudgetDraws() {}

  /**
   * At most {@code count} architectures that keep the budget, in the order drawn; fewer, where
   * there are hardly any. With a budget they differ from each other; without one they are theta's
   * plain draws.
   */
  static List<int[]> draw(Theta theta, Budget budget, long seed, int count) {
    if (budget.isEmpty()) {
      return IntStream.range(0, count).mapToObj(i -> theta.sample(seed, i)).toList();
    }
    Theta tilted = tilt(theta, budget);
    List<int[]> choices = new ArrayList<>();
    for (int i = 0; i < TRIES && choices.size() < count; i++) {
      int[] choice = tilted.sample(seed, i);
      if (budget.met(choice) && choices.stream().noneMatch(c -> Arrays.equals(c, choice))) {
        choices.add(choice);
      }
    }
    return choices;
  }

  /** The nearest distribution to theta's whose expected costs are within the budget. */
  static Theta tilt(Theta theta, Budget budget) {
    double[] tilts = new double[budget.limits().size()];
    // Limits pull on each other; the dual is concave, so taking them in turn converges.
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < tilts.length; i++) {
        tilts[i] = solve(theta, budget, tilts, i);
      }
    }
    return tilted(theta, budget, tilts);
  }

  /** The tilt of limit i at which its expected cost is where it should be, the others' held. */
  private static double solve(Theta theta, Budget budget, double[] tilts, int i) {
    Limit limit = budget.limits().get(i);
    boolean usedUp = limit.kind().least() > 0;
    double goal = usedUp ? (limit.least() + limit.most()) / 2 : 0.98 * limit.most();
    double low = usedUp ? -LARGEST_TILT : 0;
    double high = LARGEST_TILT;
    double[] trial = tilts.clone();
    for (int halving = 0; halving < HALVINGS; halving++) {
      trial[i] = (low + high) / 2;
      if (limit.expected(tilted(theta, budget, trial).probabilities()) > goal) {
        low = trial[i];
      } else {
        high = trial[i];
      }
    }
    return high;
  }

  private static Theta tilted(Theta theta, Budget budget, double[] tilts) {
    double[][] logits = theta.logits();
    for (int i = 0; i < tilts.length; i++) {
      Limit limit = budget.limits().get(i);
      for (int l = 0; l < logits.length; l++) {
        for (int k = 0; k < logits[l].length; k++) {
          logits[l][k] -= tilts[i] * limit.costs()[l][k] / limit.target();
        }
      }
    }
    return new Theta(logits);
  }
}
