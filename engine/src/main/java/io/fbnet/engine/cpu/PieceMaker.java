package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Locale;
import java.util.function.Function;

/**
 * Prepares the parts of one stage.
 *
 * @param chunks how the batch is cut
 * @param images where images lie
 * @param memory where everything else lies
 */
record PieceMaker(
    CpuContext context,
    Chunks chunks,
    Function<Value, Images> images,
    Function<Value, MemorySegment> memory) {

  /**
   * A part's piece.
   *
   * @param number of the part in its stage: pieces of one stage hold their weights side by side
   * @throws IllegalArgumentException where there is none for such an operation: loops over plain
   *     numbers would take a block's empty lanes for values
   */
  Piece make(Part part, int number) {
    boolean statistics = part.half() == Part.Half.STATISTICS;
    return switch (part.op()) {
      case Op.NormaliseImages p -> new CpuPixels(this, p);
      case Op.Convolution c -> CpuConvolution.forward(this, c, number);
      case Op.ConvolutionBackwardData c -> CpuConvolution.backwardData(this, c, number);
      case Op.ConvolutionBackwardWeights c -> CpuConvolution.backwardWeights(this, c, number);
      case Op.BatchNorm bn -> new NormStatistics(this, bn);
      case Op.BatchNormApply bn -> CpuNorm.apply(this, bn);
      case Op.BatchNormInference bn -> CpuNorm.inference(this, bn);
      case Op.BatchNormBackward bn ->
          statistics ? new NormGradientSums(this, bn) : CpuNorm.backward(this, bn);
      case Op.Sum s -> CpuMix.sum(this, s);
      case Op.WeightedSum w -> CpuMix.weightedSum(this, w);
      case Op.WeightedSumBackwardInput w -> CpuMix.backwardInput(this, w);
      case Op.WeightedSumBackwardCoefficients w -> CpuMix.backwardCoefficients(this, w);
      case Op.ChannelShuffle s -> CpuImages.channelShuffle(this, s);
      case Op.GlobalPool p -> CpuImages.globalPool(this, p);
      case Op.GlobalPoolBackward p -> CpuImages.globalPoolBackward(this, p);
      case Op.Pointwise p -> CpuActivations.forward(this, p);
      case Op.PointwiseBackward p -> CpuActivations.backward(this, p);
      case Op.ScaleChannels s -> CpuActivations.scaleChannels(this, s);
      case Op.ScaleChannelsBackwardFactors s -> CpuActivations.backwardFactors(this, s);
      default ->
          throw new IllegalArgumentException(
              String.format(
                  Locale.ROOT,
                  "the cpu back end has no %s for images such as %s",
                  part.op().name(),
                  Stages.images(part).getFirst()));
    };
  }
}
