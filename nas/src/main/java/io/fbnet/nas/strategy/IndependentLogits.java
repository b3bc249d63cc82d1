package io.fbnet.nas.strategy;

import java.util.Arrays;

/** One softmax a layer that knows nothing of the others. */
final class IndependentLogits implements Policy {
  private final int[] offsets;
  private final double[] parameters;

  /** Every candidate as likely as any other. */
  IndependentLogits(Problem problem) {
    offsets = new int[problem.layers() + 1];
    for (int l = 0; l < problem.layers(); l++) {
      offsets[l + 1] = offsets[l] + problem.candidates(l);
    }
    parameters = new double[offsets[problem.layers()]];
  }

  @Override
  public double[] parameters() {
    return parameters;
  }

  @Override
  public Walk begin() {
    return new Walk() {
      private int layer;

      @Override
      public double[] logits() {
        return Arrays.copyOfRange(parameters, offsets[layer], offsets[layer + 1]);
      }

      @Override
      public void take(int candidate) {
        layer++;
      }

      @Override
      public void backward(double[][] slopes, double[] gradient) {
        for (int l = 0; l < slopes.length; l++) {
          for (int k = 0; k < slopes[l].length; k++) {
            gradient[offsets[l] + k] += slopes[l][k];
          }
        }
      }
    };
  }
}
