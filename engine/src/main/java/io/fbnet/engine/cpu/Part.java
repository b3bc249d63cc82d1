package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * An operation, or one half of a batch norm: its sums must be whole before anything is normalised
 * by them.
 */
record Part(Op op, Half half) {
  enum Half {
    WHOLE,
    STATISTICS,
    APPLICATION
  }

  static List<Part> of(Op op) {
    return switch (op) {
      case Op.BatchNorm bn ->
          List.of(new Part(bn, Half.STATISTICS), new Part(bn.application(), Half.WHOLE));
      case Op.BatchNormBackward bn ->
          List.of(new Part(bn, Half.STATISTICS), new Part(bn, Half.APPLICATION));
      default -> List.of(new Part(op, Half.WHOLE));
    };
  }

  List<Value> reads() {
    return switch (op) {
      case Op.BatchNorm bn -> Stream.of(bn.x(), bn.momentum()).filter(Objects::nonNull).toList();
      default -> op.inputs();
    };
  }

  List<Value> writes() {
    return switch (op) {
      case Op.BatchNorm bn -> op.outputs().stream().filter(v -> !v.equals(bn.y())).toList();
      case Op.BatchNormBackward bn ->
          half == Half.APPLICATION
              ? List.of(bn.dx())
              : op.outputs().stream().filter(v -> !v.equals(bn.dx())).toList();
      default -> op.outputs();
    };
  }

  /** Whether its results are there only after the last image. */
  boolean reduces() {
    return half == Half.STATISTICS
        || op instanceof Op.ConvolutionBackwardWeights
        || op instanceof Op.WeightedSumBackwardCoefficients;
  }

  boolean convolves() {
    return op instanceof Op.Convolution
        || op instanceof Op.ConvolutionBackwardData
        || op instanceof Op.ConvolutionBackwardWeights;
  }

  /**
   * Whether this part must wait until {@code earlier}, which reduces, is through with all images.
   */
  boolean awaits(Part earlier) {
    return half == Half.APPLICATION && earlier.op.equals(op)
        || reads().stream().anyMatch(earlier.writes()::contains);
  }
}
