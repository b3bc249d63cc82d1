package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * An operation, or one half of a batch norm: its sums must be whole before anything is normalised
 * by them. Each is made once, and equal to itself alone.
 */
final class Part {
  enum Half {
    WHOLE,
    STATISTICS,
    APPLICATION
  }

  private final Op op;
  private final Half half;
  private final List<Value> reads;
  private final List<Value> writes;

  Part(Op op, Half half) {
    this.op = op;
    this.half = half;
    reads = readBy(op);
    writes = writtenBy(op, half);
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

  private static List<Value> readBy(Op op) {
    return switch (op) {
      case Op.BatchNorm bn -> Stream.of(bn.x(), bn.momentum()).filter(Objects::nonNull).toList();
      default -> op.inputs();
    };
  }

  private static List<Value> writtenBy(Op op, Half half) {
    return switch (op) {
      case Op.BatchNorm bn -> op.outputs().stream().filter(v -> !v.equals(bn.y())).toList();
      case Op.BatchNormBackward bn ->
          half == Half.APPLICATION
              ? List.of(bn.dx())
              : op.outputs().stream().filter(v -> !v.equals(bn.dx())).toList();
      default -> op.outputs();
    };
  }

  Op op() {
    return op;
  }

  Half half() {
    return half;
  }

  List<Value> reads() {
    return reads;
  }

  List<Value> writes() {
    return writes;
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
        || reads.stream().anyMatch(earlier.writes::contains);
  }
}
