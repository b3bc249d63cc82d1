package io.fbnet.nas.onnx;

/**
 * Weights in eight bits, symmetric around 0 and with a step for each output channel; the biases in
 * 32 bits, in steps of the product with the input's.
 */
final class Int8Weights {
  private static final int MOST = 127;

  /** Far from the ends of an int, so that what is added to a bias cannot run over. */
  private static final double MOST_BIAS = 1 << 30;

  private final byte[] weights;
  private final float[] scales;
  private final int[] biases;
  private final float[] biasScales;

  /**
   * Rounds to the nearest.
   *
   * @param weights output channels first
   * @param bias one an output channel; empty if there is none
   * @param inputScale the step of what the weights are multiplied with
   */
  Int8Weights(float[] weights, int channels, float[] bias, float inputScale) {
    int each = weights.length / channels;
    this.weights = new byte[weights.length];
    scales = new float[channels];
    biases = new int[bias.length];
    biasScales = new float[bias.length];
    for (int c = 0; c < channels; c++) {
      float largest = 0;
      for (int i = c * each; i < (c + 1) * each; i++) {
        largest = Math.max(largest, Math.abs(weights[i]));
      }
      double least = bias.length == 0 ? 0 : Math.abs(bias[c]) / (MOST_BIAS * inputScale);
      float scale = (float) Math.max(largest / MOST, least);
      scales[c] = scale >= Float.MIN_NORMAL ? scale : 1;
      for (int i = c * each; i < (c + 1) * each; i++) {
        this.weights[i] = (byte) Math.clamp(Math.round(weights[i] / scales[c]), -MOST, MOST);
      }
      if (bias.length > 0) {
        biasScales[c] = inputScale * scales[c];
        biases[c] = (int) Math.rint(bias[c] / (double) biasScales[c]);
      }
    }
  }

  byte[] weights() {
    return weights;
  }

  /** One an output channel. */
  float[] scales() {
    return scales;
  }

  int[] biases() {
    return biases;
  }

  float[] biasScales() {
    return biasScales;
  }
}
