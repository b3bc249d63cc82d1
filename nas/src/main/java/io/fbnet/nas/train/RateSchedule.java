package io.fbnet.nas.train;

import java.util.List;

/**
 * The learning rate of every step.
 *
 * @param kind how it falls
 * @param rate the highest
 * @param epochs of the training
 * @param warmupEpochs over which it first rises linearly from 0
 * @param steps STEP: epochs at which it falls, ascending
 * @param factor STEP: what it is multiplied by each time
 */
public record RateSchedule(
    Kind kind, double rate, int epochs, int warmupEpochs, List<Integer> steps, double factor) {
  /** How the rate falls. */
  public enum Kind {
    /** Half a cosine from the rate to 0, over all that follows the warm-up. */
    COSINE,
    /** By a factor at given epochs. */
    STEP
  }

  /** Copies the list. */
  public RateSchedule {
    steps = List.copyOf(steps);
  }

  /**
   * {@return the rate of a step}
   *
   * @param step from 0
   * @param stepsPerEpoch of them make an epoch
   */
  public double at(long step, long stepsPerEpoch) {
    long warmup = warmupEpochs * stepsPerEpoch;
    if (step < warmup) {
      // The first step is not at 0, where it would be wasted; the last is at the full rate.
      return rate * (step + 1) / warmup;
    }
    return switch (kind) {
      case COSINE -> {
        long rest = epochs * stepsPerEpoch - warmup;
        yield 0.5 * rate * (1 + Math.cos(Math.PI * (step - warmup) / rest));
      }
      case STEP -> {
        long epoch = step / stepsPerEpoch;
        long fallen = steps.stream().filter(at -> at <= epoch).count();
        yield rate * Math.pow(factor, (double) fallen);
      }
    };
  }
}
