package io.fbnet.nas.strategy;

/**
 * Predicts an accuracy as a mean plus one number a layer and candidate, by ridge regression on all
 * that is known.
 */
final class AdditiveModel {
  private final double mean;
  private final int[] offsets;
  private final double[] weights;

  private AdditiveModel(double mean, int[] offsets, double[] weights) {
    this.mean = mean;
    this.offsets = offsets;
    this.weights = weights;
  }

  static AdditiveModel fit(Problem problem, History history, double ridge) {
    int[] offsets = new int[problem.layers()];
    int size = 0;
    for (int l = 0; l < offsets.length; l++) {
      offsets[l] = size;
      size += problem.candidates(l);
    }
    double sum = 0;
    int count = 0;
    for (History.Result r : history.results()) {
      sum += r.accuracy();
      count++;
    }
    double mean = count == 0 ? 0 : sum / count;
    double[][] matrix = new double[size][size];
    double[] right = new double[size];
    for (History.Result r : history.results()) {
      for (int l = 0; l < offsets.length; l++) {
        int i = offsets[l] + r.choice()[l];
        right[i] += r.accuracy() - mean;
        for (int m = 0; m < offsets.length; m++) {
          matrix[i][offsets[m] + r.choice()[m]]++;
        }
      }
    }
    for (int i = 0; i < size; i++) {
      matrix[i][i] += ridge;
    }
    solve(matrix, right);
    return new AdditiveModel(mean, offsets, right);
  }

  /** Solves a positive definite system by Cholesky's method; the right side becomes the answer. */
  private static void solve(double[][] a, double[] x) {
    int n = x.length;
    for (int j = 0; j < n; j++) {
      for (int i = j; i < n; i++) {
        double sum = a[i][j];
        for (int k = 0; k < j; k++) {
          sum -= a[i][k] * a[j][k];
        }
        a[i][j] = i == j ? Math.sqrt(sum) : sum / a[j][j];
      }
    }
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < i; k++) {
        x[i] -= a[i][k] * x[k];
      }
      x[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
      for (int k = i + 1; k < n; k++) {
        x[i] -= a[k][i] * x[k];
      }
      x[i] /= a[i][i];
    }
  }

  double of(int[] choice) {
    double sum = mean;
    for (int l = 0; l < choice.length; l++) {
      sum += weights[offsets[l] + choice[l]];
    }
    return sum;
  }
}
