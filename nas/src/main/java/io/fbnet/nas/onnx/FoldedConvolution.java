package io.fbnet.nas.onnx;

/** A convolution that does what a convolution and the batch norm after it do. */
final class FoldedConvolution {
  private final float[] weights;
  private final float[] bias;

  /**
   * Folds in double precision and rounds once.
   *
   * @param weights of the convolution, output channels first
   * @param gamma of the batch norm, one number an output channel, as the following
   */
  FoldedConvolution(
      float[] weights, float[] gamma, float[] beta, float[] mean, float[] variance, float epsilon) {
    int channels = gamma.length;
    int each = weights.length / channels;
    this.weights = new float[weights.length];
    bias = new float[channels];
    for (int o = 0; o < channels; o++) {
      double scale = gamma[o] / Math.sqrt((double) variance[o] + epsilon);
      for (int i = o * each; i < (o + 1) * each; i++) {
        this.weights[i] = (float) (weights[i] * scale);
      }
      bias[o] = (float) (beta[o] - mean[o] * scale);
    }
  }

  /** Of the convolution's shape. */
  float[] weights() {
    return weights;
  }

  /** One number an output channel. */
  float[] bias() {
    return bias;
  }
}
