package io.fbnet.nas.strategy;

import java.util.Arrays;

/**
 * One network as a policy takes it, with the probabilities that its candidates had. What could not
 * lead to a network inside the budget has probability 0, and the rest of a layer is scaled to 1, so
 * nothing outside is ever drawn; gradients are those of these probabilities.
 */
final class Passage {
  private final Policy.Walk walk;
  private final int[] choice;

  /** [layer][candidate]. */
  private final double[][] probabilities;

  private Passage(Policy policy, int layers) {
    walk = policy.begin();
    choice = new int[layers];
    probabilities = new double[layers][];
  }

  /**
   * Draws a network.
   *
   * @param temperature logits are divided by it
   */
  static Passage draw(Problem problem, Policy policy, Draws draws, double temperature) {
    Passage path = new Passage(policy, problem.layers());
    for (int l = 0; l < path.choice.length; l++) {
      path.probabilities[l] =
          softmax(path.walk.logits(), problem.feasible().mayTake(path.choice, l), temperature);
      path.choice[l] = draws.of(path.probabilities[l]);
      path.walk.take(path.choice[l]);
    }
    return path;
  }

  /** Follows a network. */
  static Passage along(Problem problem, Policy policy, int[] choice) {
    Passage path = new Passage(policy, problem.layers());
    System.arraycopy(choice, 0, path.choice, 0, choice.length);
    for (int l = 0; l < choice.length; l++) {
      path.probabilities[l] = softmax(path.walk.logits(), problem.feasible().mayTake(choice, l), 1);
      path.walk.take(choice[l]);
    }
    return path;
  }

  private static double[] softmax(double[] logits, boolean[] may, double temperature) {
    double largest = Double.NEGATIVE_INFINITY;
    for (int k = 0; k < logits.length; k++) {
      largest = may[k] ? Math.max(largest, logits[k]) : largest;
    }
    double[] result = new double[logits.length];
    double sum = 0;
    for (int k = 0; k < logits.length; k++) {
      result[k] = may[k] ? Math.exp((logits[k] - largest) / temperature) : 0;
      sum += result[k];
    }
    for (int k = 0; k < logits.length; k++) {
      result[k] /= sum;
    }
    return result;
  }

  int[] choice() {
    return choice;
  }

  /** The probability of what a layer took. */
  double probability(int layer) {
    return probabilities[layer][choice[layer]];
  }

  /**
   * Adds the gradient of sum over layers of weights[l] * log p_l + entropy * H_l, where p_l is the
   * probability of what layer l took and H_l the entropy of its choice in nats.
   */
  void backward(double[] weights, double entropy, double[] gradient) {
    double[][] slopes = new double[choice.length][];
    for (int l = 0; l < slopes.length; l++) {
      double[] p = probabilities[l];
      double mean = 0;
      for (double one : p) {
        mean += one > 0 ? one * Math.log(one) : 0;
      }
      slopes[l] = new double[p.length];
      for (int k = 0; k < p.length; k++) {
        double surprise = p[k] > 0 ? p[k] * (mean - Math.log(p[k])) : 0;
        slopes[l][k] = -weights[l] * p[k] + entropy * surprise;
      }
      slopes[l][choice[l]] += weights[l];
    }
    walk.backward(slopes, gradient);
  }

  /** As above, every layer with the same weight. */
  void backward(double weight, double entropy, double[] gradient) {
    double[] weights = new double[choice.length];
    Arrays.fill(weights, weight);
    backward(weights, entropy, gradient);
  }
}
