package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import io.fbnet.engine.random.Philox;

/** A sequence of random numbers whose place can be kept and taken up again. */
final class Draws {
  private static final int STREAM = 5;

  private final long seed;
  private long place;

  Draws(long seed) {
    this.seed = seed;
  }

  long place() {
    return place;
  }

  /** Goes on at the place that a controller's state holds. */
  void restore(JsonNode state) {
    if (!state.path("place").isIntegralNumber()) {
      throw new IllegalArgumentException("this is no state of a search strategy");
    }
    place = state.path("place").asLong();
  }

  /** A number from 0 to below 1. */
  double number() {
    int[] words = new int[4];
    Philox.block(seed, STREAM, place++, 0, words);
    long bits = (long) (words[0] >>> 5) << 26 | words[1] >>> 6;
    return bits * 0x1p-53;
  }

  /** A whole number from 0 to below {@code end}. */
  int below(int end) {
    return Math.min(end - 1, (int) (number() * end));
  }

  /** The place of a number with these probabilities, whose sum is 1. */
  int of(double[] probabilities) {
    double left = number();
    int last = 0;
    for (int k = 0; k < probabilities.length; k++) {
      if (probabilities[k] > 0) {
        last = k;
        left -= probabilities[k];
        if (left < 0) {
          return k;
        }
      }
    }
    return last; // rounding left a little
  }

  /** A network inside the budget. */
  int[] uniform(Feasible feasible) {
    return feasible.uniform(seed, place++);
  }
}
