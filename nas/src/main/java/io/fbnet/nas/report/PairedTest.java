package io.fbnet.nas.report;

/**
 * Student's t-test of paired differences.
 *
 * @param pairs how many
 * @param mean of the differences
 * @param t the mean by its standard error; no number with fewer than two pairs, or without any
 *     spread
 * @param p two-sided: how often chance alone gives a t as far from 0; no number where t is none
 */
record PairedTest(int pairs, double mean, double t, double p) {
  private static final int MOST_TERMS = 500;
  private static final double TINY = 1e-300;

  /** Of first[i] - second[i]. */
  static PairedTest of(double[] first, double[] second) {
    int n = first.length;
    double mean = 0;
    for (int i = 0; i < n; i++) {
      mean += (first[i] - second[i]) / n;
    }
    double squares = 0;
    for (int i = 0; i < n; i++) {
      double off = first[i] - second[i] - mean;
      squares += off * off;
    }
    if (n < 2 || squares == 0) {
      return new PairedTest(n, n == 0 ? Double.NaN : mean, Double.NaN, Double.NaN);
    }
    double t = mean / Math.sqrt(squares / (n - 1) / n);
    double freedom = n - 1;
    return new PairedTest(n, mean, t, beta(freedom / 2, 0.5, freedom / (freedom + t * t)));
  }

  /** The regularised incomplete beta function, by its continued fraction. */
  static double beta(double a, double b, double x) {
    if (x <= 0 || x >= 1) {
      return x <= 0 ? 0 : 1;
    }
    if (x > (a + 1) / (a + b + 2)) {
      return 1 - beta(b, a, 1 - x);
    }
    double front =
        Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x))
            / a;
    // Lentz's method.
    double c = 1;
    double d = 1 / notZero(1 - (a + b) * x / (a + 1));
    double fraction = d;
    for (int m = 1; m <= MOST_TERMS; m++) {
      double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / notZero(1 + even * d);
      c = notZero(1 + even / c);
      fraction *= c * d;
      double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / notZero(1 + odd * d);
      c = notZero(1 + odd / c);
      fraction *= c * d;
      if (Math.abs(c * d - 1) < 1e-15) {
        break;
      }
    }
    return front * fraction;
  }

  private static double notZero(double value) {
    return Math.abs(value) < TINY ? TINY : value;
  }

  /** Of a number above 0, by Stirling's series behind a shift. */
  static double logGamma(double x) {
    double shift = 0;
    double z = x;
    while (z < 10) {
      shift -= Math.log(z);
      z++;
    }
    double s = 1 / (z * z);
    double series = (1 / 12.0 - s * (1 / 360.0 - s * (1 / 1260.0 - s / 1680))) / z;
    return shift + (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series;
  }
}
