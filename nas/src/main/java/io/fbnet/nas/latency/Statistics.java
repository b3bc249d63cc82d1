package io.fbnet.nas.latency;

import java.util.Arrays;
import java.util.Collection;

/** The few statistics by which tables and measurements are judged. */
public final class Statistics {
  private Statistics() {}

  /**
   * {@return the mean over i of |predicted[i] - measured[i]| / measured[i]}
   *
   * @param predicted one value each
   * @param measured one value each, above 0
   * @throws IllegalArgumentException if there are none, not as many of each, or a measured value is
   *     not positive
   */
  public static double meanRelativeError(double[] predicted, double[] measured) {
    requirePairs(predicted, measured, 1);
    double sum = 0;
    for (int i = 0; i < predicted.length; i++) {
      if (!(measured[i] > 0)) {
        throw new IllegalArgumentException("a measured value is not positive: " + measured[i]);
      }
      sum += Math.abs(predicted[i] - measured[i]) / measured[i];
    }
    return sum / predicted.length;
  }

  /**
   * {@return Kendall's tau-b of two rankings, corrected for ties: (concordant - discordant) /
   * sqrt(pairs untied in x * pairs untied in y); NaN if all values of either are equal}
   *
   * @param x one value each
   * @param y one value each
   * @throws IllegalArgumentException if there are fewer than two pairs or not as many of each
   */
  public static double kendallTau(double[] x, double[] y) {
    requirePairs(x, y, 2);
    long balance = 0;
    long untiedX = 0;
    long untiedY = 0;
    for (int i = 0; i < x.length; i++) {
      for (int j = 0; j < i; j++) {
        int signX = Double.compare(x[i], x[j]);
        int signY = Double.compare(y[i], y[j]);
        balance += (long) Integer.signum(signX) * Integer.signum(signY);
        untiedX += signX != 0 ? 1 : 0;
        untiedY += signY != 0 ? 1 : 0;
      }
    }
    return balance / Math.sqrt((double) untiedX * untiedY);
  }

  private static void requirePairs(double[] x, double[] y, int least) {
    if (x.length != y.length || x.length < least) {
      throw new IllegalArgumentException(
          "needs as many of each, at least " + least + ": " + x.length + " and " + y.length);
    }
  }

  /**
   * {@return the middle value, or the mean of the two middle ones}
   *
   * @param values in any order, at least one
   * @throws IllegalArgumentException if there are none
   */
  public static double median(double[] values) {
    return quantile(values, 0.5);
  }

  /**
   * {@return the middle value, or the mean of the two middle ones}
   *
   * @param values in any order, at least one
   * @throws IllegalArgumentException if there are none
   */
  public static double median(Collection<Double> values) {
    return median(values.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /**
   * {@return the distance between the first and third quartile, divided by the median} Quartiles
   * are interpolated linearly between order statistics (type 7 of Hyndman and Fan).
   *
   * @param values in any order, at least one
   * @throws IllegalArgumentException if there are none
   */
  public static double relativeSpread(double[] values) {
    return interquartileRange(values) / median(values);
  }

  /** The distance between the first and third quartile. */
  static double interquartileRange(double[] values) {
    return quantile(values, 0.75) - quantile(values, 0.25);
  }

  /**
   * The quantile with linear interpolation between order statistics (type 7 of Hyndman and Fan, the
   * default of R and NumPy).
   *
   * @param q from 0 (the smallest) to 1 (the largest)
   */
  static double quantile(double[] values, double q) {
    if (values.length == 0 || !(q >= 0 && q <= 1)) {
      throw new IllegalArgumentException("needs at least one value and a share from 0 to 1");
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double position = q * (sorted.length - 1);
    int below = (int) Math.floor(position);
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
  }
}
