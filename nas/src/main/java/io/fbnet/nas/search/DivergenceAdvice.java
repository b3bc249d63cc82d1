package io.fbnet.nas.search;

import java.util.Locale;

/** What to change about a search whose step gave no number: the likeliest cause first. */
final class DivergenceAdvice {
  /** Below it the gradients of the Gumbel-softmax, which grow as 1 / tau, are large. */
  private static final double LOW_TAU = 0.1;

  /** A latency term that multiplies the loss, and so the learning rate, by more is suspect. */
  private static final double LARGE_FACTOR = 20;

  private DivergenceAdvice() {}

  /**
   * Continues the sentence "start a new run with ...".
   *
   * @param theta whether the step was theta's
   * @param tau the step's temperature
   * @param latencyMs what the step expected; may be no number
   */
  static String of(boolean theta, double tau, double latencyMs, SearchSettings settings) {
    double factor = settings.latencyFactor(latencyMs);
    if (factor > LARGE_FACTOR) {
      return String.format(
          Locale.ROOT,
          "a lower --beta or --alpha (the latency term multiplied the loss by %.3g)",
          factor);
    }
    if (tau < LOW_TAU) {
      return String.format(Locale.ROOT, "a higher --tau-end (the temperature was %.3g)", tau);
    }
    return theta ? "a lower --theta-rate or --rate" : "a lower --rate";
  }
}
