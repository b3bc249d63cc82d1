package io.fbnet.nas.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A linear axis with ticks at round numbers: values {@code from} to {@code to} lie at pixels {@code
 * start} to {@code end}.
 */
record Axis(double from, double to, double start, double end, double step) {
  /** Labels of ticks within less would have more decimals than anybody reads. */
  private static final double LEAST_RANGE = 1e-15;

  /**
   * An axis over at least these values, widened to whole ticks.
   *
   * @param ticks about how many
   */
  static Axis rounded(double least, double most, int ticks, double start, double end) {
    Axis tight = tight(least, most, ticks, start, end);
    double s = tight.step;
    // A value on a tick needs no further one, in spite of rounding.
    double low = Math.floor(tight.from / s + 1e-9) * s;
    double high = Math.ceil(tight.to / s - 1e-9) * s;
    return new Axis(low, high, start, end, s);
  }

  /** An axis over exactly these values. */
  static Axis tight(double least, double most, int ticks, double start, double end) {
    double low = least;
    double high = most;
    if (!(high - low >= LEAST_RANGE)) {
      double pad = Math.abs(low) < LEAST_RANGE ? 1 : Math.abs(low) * 0.1;
      low -= pad;
      high += pad;
    }
    return new Axis(low, high, start, end, roundStep((high - low) / ticks));
  }

  /** The round number (1, 2 or 5 times a power of ten) nearest above. */
  private static double roundStep(double wanted) {
    double power = Math.pow(10, Math.floor(Math.log10(wanted)));
    for (double factor : new double[] {1, 2, 5}) {
      if (factor * power >= wanted * (1 - 1e-9)) {
        return factor * power;
      }
    }
    return 10 * power;
  }

  /** The pixel of a value. */
  double at(double value) {
    return start + (value - from) / (to - from) * (end - start);
  }

  /** The values of the ticks. */
  List<Double> ticks() {
    List<Double> values = new ArrayList<>();
    long first = (long) Math.ceil(from / step - 1e-9);
    long last = (long) Math.floor(to / step + 1e-9);
    for (long i = first; i <= last && values.size() < 100; i++) {
      values.add(i * step);
    }
    return values;
  }

  /** A tick's value with as many decimals as tell it from its neighbours. */
  String label(double value) {
    int decimals = (int) Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return decimals == 0 && Math.abs(value) >= 10_000
        ? String.format(Locale.ROOT, "%,.0f", value).replace(',', '\u202f')
        : String.format(Locale.ROOT, "%." + decimals + "f", value == 0 ? 0.0 : value);
  }
}
