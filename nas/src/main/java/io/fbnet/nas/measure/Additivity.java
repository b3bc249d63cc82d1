package io.fbnet.nas.measure;

import io.fbnet.nas.latency.Statistics;

/**
 * How the time of a part inside a network follows from what it takes by itself: {@code warm *
 * warmTime + cold * coldTime - start}, by least squares of relative errors on whole networks. Small
 * networks keep their weights in near caches, so they follow the warm times; large ones the cold.
 *
 * @param warm factor of times measured in a row
 * @param cold factor of times measured in turn with all other parts
 * @param start milliseconds that each part takes only by itself; negative where being joined costs
 * @param error mean relative error on the networks of the fit
 */
record Additivity(double warm, double cold, double start, double error) {
  /** A part keeps at least this share of its time. */
  private static final double LEAST_SHARE = 0.1;

  /** Added to the diagonal, as a share of it: parts of nearly equal networks tell nothing apart. */
  private static final double RIDGE = 1e-6;

  /**
   * Fits.
   *
   * @param warm sums over the parts of each network, measured in a row, ms
   * @param cold the same measured in turn
   * @param parts of each network
   * @param whole the networks' own times, ms
   */
  static Additivity fit(double[] warm, double[] cold, double[] parts, double[] whole) {
    double[][] columns = {warm, cold, parts};
    boolean[][] choices = {{true, true, true}, {true, false, true}, {false, true, true}};
    double[] best = null;
    double least = Double.POSITIVE_INFINITY;
    for (boolean[] used : choices) {
      double[] c = solve(columns, used, whole);
      double error = error(columns, c, whole);
      // More of a part's time never makes the network faster.
      if (c[0] >= 0 && c[1] >= 0 && c[0] + c[1] > 0 && error < least) {
        best = c;
        least = error;
      }
    }
    if (best == null) {
      best = solve(columns, new boolean[] {true, false, false}, whole);
      least = error(columns, best, whole);
    }
    return new Additivity(best[0], best[1], -best[2], least);
  }

  private static double error(double[][] columns, double[] c, double[] whole) {
    double[] fitted = new double[whole.length];
    for (int i = 0; i < whole.length; i++) {
      for (int j = 0; j < c.length; j++) {
        fitted[i] += c[j] * columns[j][i];
      }
    }
    return Statistics.meanRelativeError(fitted, whole);
  }

  /** The coefficients of the used columns, 0 for the others, by the normal equations. */
  private static double[] solve(double[][] columns, boolean[] used, double[] whole) {
    int n = columns.length;
    double[][] a = new double[n][n + 1];
    for (int i = 0; i < n; i++) {
      a[i][i] = used[i] ? 0 : 1;
      for (int r = 0; used[i] && r < whole.length; r++) {
        double x = columns[i][r] / whole[r];
        for (int j = 0; j < n; j++) {
          a[i][j] += used[j] ? x * columns[j][r] / whole[r] : 0;
        }
        a[i][n] += x;
      }
      a[i][i] *= 1 + RIDGE;
    }
    // Positive definite, so elimination needs no pivoting.
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < n; k++) {
        double factor = k == i ? 0 : a[k][i] / a[i][i];
        for (int j = i; j <= n; j++) {
          a[k][j] -= factor * a[i][j];
        }
      }
    }
    double[] c = new double[n];
    for (int i = 0; i < n; i++) {
      c[i] = a[i][n] / a[i][i];
    }
    return c;
  }

  /** What {@code parts} parts that take these times by themselves take inside a network, ms. */
  double inside(double warmMs, double coldMs, int parts) {
    double scaled = warm * warmMs + cold * coldMs;
    return Math.max(LEAST_SHARE * scaled, scaled - parts * start);
  }
}
