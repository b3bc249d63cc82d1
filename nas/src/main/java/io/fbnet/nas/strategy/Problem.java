package io.fbnet.nas.strategy;

import java.util.Arrays;
import java.util.OptionalDouble;

/**
 * What a strategy searches.
 *
 * @param allowed which candidates each layer may take, [layer][candidate]
 * @param feasible the networks inside the budget; nothing else is proposed
 * @param target the cost that is wanted, in the unit in which {@link Controller#feedback} tells
 *     costs, for rewards that know of it; empty where accuracy alone counts
 * @param seed of every draw
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Problem(boolean[][] allowed, Feasible feasible, OptionalDouble target, long seed) {
  /**
   * Copies the array.
   *
   * @throws IllegalArgumentException if there is no layer, a layer without candidates, or a target
   *     that is not above 0
   */
  public Problem {
    allowed = Arrays.stream(allowed).map(boolean[]::clone).toArray(boolean[][]::new);
    if (allowed.length == 0) {
      throw new IllegalArgumentException("a space needs a layer");
    }
    if (target.isPresent() && !(target.getAsDouble() > 0)) {
      throw new IllegalArgumentException("a target is above 0, not " + target.getAsDouble());
    }
  }

  int layers() {
    return allowed.length;
  }

  int candidates(int layer) {
    return allowed[layer].length;
  }
}
