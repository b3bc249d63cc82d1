package io.fbnet.nas.search;

import io.fbnet.engine.random.GumbelNoise;
import io.fbnet.engine.random.Philox;
import io.fbnet.nas.space.SearchSpace;

/** The distribution over architectures that theta stands for: one softmax a layer. */
public final class Theta {
  private static final int SAMPLING_STREAM = 2;

  private final double[][] logits;

  /**
   * Takes a copy.
   *
   * @param logits [layer][candidate]
   */
  public Theta(double[][] logits) {
    this.logits = new double[logits.length][];
    for (int l = 0; l < logits.length; l++) {
      this.logits[l] = logits[l].clone();
    }
  }

  /** Theta of a candidate that its layer does not allow: its probability is 0 and stays so. */
  static final double FORBIDDEN = -1e6;

  /**
   * {@return theta in which every candidate that is allowed is as likely as any other}
   *
   * @param space whose candidates they are
   */
  public static Theta uniform(SearchSpace space) {
    boolean[][] allowed = space.allowed();
    double[][] logits = new double[allowed.length][];
    for (int l = 0; l < logits.length; l++) {
      logits[l] = new double[allowed[l].length];
      for (int k = 0; k < logits[l].length; k++) {
        logits[l][k] = allowed[l][k] ? 0 : FORBIDDEN;
      }
    }
    return new Theta(logits);
  }

  static Theta of(float[] flat, int layers, int candidates) {
    double[][] logits = new double[layers][candidates];
    for (int i = 0; i < flat.length; i++) {
      logits[i / candidates][i % candidates] = flat[i];
    }
    return new Theta(logits);
  }

  /** {@return a copy of theta, [layer][candidate]} */
  public double[][] logits() {
    return new Theta(logits).logits;
  }

  /** Theta row by row. */
  float[] flat() {
    float[] flat = new float[logits.length * logits[0].length];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = (float) logits[i / logits[0].length][i % logits[0].length];
    }
    return flat;
  }

  /** {@return how many layers it has} */
  public int layers() {
    return logits.length;
  }

  /** {@return softmax(theta), [layer][candidate]} */
  public double[][] probabilities() {
    double[][] result = new double[logits.length][];
    for (int l = 0; l < logits.length; l++) {
      double max = Double.NEGATIVE_INFINITY;
      for (double v : logits[l]) {
        max = Math.max(max, v);
      }
      double total = 0;
      result[l] = new double[logits[l].length];
      for (int k = 0; k < result[l].length; k++) {
        result[l][k] = Math.exp(logits[l][k] - max);
        total += result[l][k];
      }
      for (int k = 0; k < result[l].length; k++) {
        result[l][k] /= total;
      }
    }
    return result;
  }

  /**
   * {@return a draw: one candidate a layer}
   *
   * @param seed of a sequence of draws
   * @param index in it
   */
  public int[] sample(long seed, long index) {
    return sample(seed, SAMPLING_STREAM, index);
  }

  /** The same from a stream of its own. */
  int[] sample(long seed, int stream, long index) {
    int[] choice = new int[logits.length];
    for (int l = 0; l < choice.length; l++) {
      double best = Double.NEGATIVE_INFINITY;
      for (int k = 0; k < logits[l].length; k++) {
        // The largest of theta plus Gumbel noise is distributed as softmax(theta).
        long at = (long) l * logits[l].length + k;
        double v = logits[l][k] + GumbelNoise.of(Philox.word(seed, stream, index, at));
        if (v > best) {
          best = v;
          choice[l] = k;
        }
      }
    }
    return choice;
  }

  /** {@return the most likely candidate of each layer} */
  public int[] mostLikely() {
    int[] choice = new int[logits.length];
    for (int l = 0; l < choice.length; l++) {
      for (int k = 1; k < logits[l].length; k++) {
        choice[l] = logits[l][k] > logits[l][choice[l]] ? k : choice[l];
      }
    }
    return choice;
  }

  /** {@return the entropy of the choice in bits, the mean over layers} */
  public double entropy() {
    double total = 0;
    for (double[] layer : probabilities()) {
      for (double p : layer) {
        total -= p > 0 ? p * Math.log(p) / Math.log(2) : 0;
      }
    }
    return total / logits.length;
  }
}
