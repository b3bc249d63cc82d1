package io.fbnet.engine.cuda;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;

/**
 * A candidate of a search layer that can share its launches with its neighbours: a 1x1 convolution,
 * norm, perhaps a shuffle; a depthwise convolution, norm; a 1x1 convolution, norm; perhaps its
 * input added.
 *
 * @param k its number among the candidates
 * @param expand the first convolution
 * @param expandNorm behind it
 * @param shuffle groups of the shuffle behind that, 1 without one
 * @param depthwise the second convolution
 * @param depthwiseNorm behind it
 * @param project the third convolution
 * @param projectNorm behind it, without a ReLU
 * @param addsInput whether the candidate's input is added at its end
 * @param gradient its gradients, null where there are none
 */
record BankCandidate(
    int k,
    Op.Convolution expand,
    Op.BatchNorm expandNorm,
    int shuffle,
    Op.Convolution depthwise,
    Op.BatchNorm depthwiseNorm,
    Op.Convolution project,
    Op.BatchNorm projectNorm,
    boolean addsInput,
    Gradient gradient) {

  /**
   * The gradients of a candidate.
   *
   * @param share of the weighted sum's gradient
   * @param projectNorm of the last norm
   * @param projectWeights of the third convolution's weights; null where no weight has a gradient
   * @param depthwiseNorm of the second norm
   * @param depthwiseWeights null likewise
   * @param expandNorm of the first norm
   * @param expandWeights null likewise
   * @param input of the candidate's input by way of its convolutions, null where nothing needs it
   */
  record Gradient(
      Value share,
      Op.BatchNormBackward projectNorm,
      Op.ConvolutionBackwardWeights projectWeights,
      Op.BatchNormBackward depthwiseNorm,
      Op.ConvolutionBackwardWeights depthwiseWeights,
      Op.BatchNormBackward expandNorm,
      Op.ConvolutionBackwardWeights expandWeights,
      Value input) {
    boolean ofWeights() {
      return projectWeights != null;
    }

    /** Whether the forward pass was to be computed again for them. */
    boolean readsAgain(BankCandidate candidate) {
      return !expandNorm.x().equals(candidate.expand.y());
    }
  }

  Value x() {
    return expand.x();
  }

  /** Channels between the first and the third convolution. */
  int width() {
    return expand.y().shape().get(1);
  }

  int kernel() {
    return depthwise.w().shape().get(2);
  }

  BankCandidate with(Gradient found) {
    return new BankCandidate(
        k,
        expand,
        expandNorm,
        shuffle,
        depthwise,
        depthwiseNorm,
        project,
        projectNorm,
        addsInput,
        found);
  }

  /** The output of the first convolution that lies at a channel behind the shuffle. */
  int shuffled(int channel) {
    return channel % shuffle * (width() / shuffle) + channel / shuffle;
  }
}
