package io.fbnet.bench.gpu;

import java.math.BigDecimal;
import java.math.MathContext;

/** Numbers for a report, which need no more digits than were measured. */
final class Round {
  private static final MathContext FIVE = new MathContext(5);

  private Round() {}

  static double digits(double x) {
    return Double.isFinite(x) ? new BigDecimal(x).round(FIVE).doubleValue() : x;
  }
}
