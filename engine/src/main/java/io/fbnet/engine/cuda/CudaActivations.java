package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/** Activations that no batch norm applies, and what squeeze-and-excitation does to images. */
final class CudaActivations {
  /** Bytes that a thread reads or writes at once. */
  private static final int VECTOR = 16;

  private CudaActivations() {}

  /** The kernels' number of a function; {@code activation.h} has those of images. */
  static int code(Op.Function function) {
    return switch (function) {
      case LOG -> 0;
      case POWER -> 1;
      case SCALE -> 2;
      case SIGMOID -> 3;
      case HARD_SIGMOID -> 4;
      case RELU -> 5;
      case SWISH -> 6;
      case HARD_SWISH -> 7;
    };
  }

  static Kernel forward(CudaContext context, Op.Pointwise p, Function<Value, MemorySegment> m) {
    long n = p.y().shape().elements();
    return context.elements(
        context.work(Family.MIX).reads(p.x()).writes(p.y()),
        "activation",
        context.typed("activation_forward", p.x()),
        vectors(context, n),
        new CudaArguments()
            .pointer(m.apply(p.x()))
            .i32(code(p.function()))
            .pointer(m.apply(p.y()))
            .i64(n));
  }

  static Kernel backward(
      CudaContext context, Op.PointwiseBackward p, Function<Value, MemorySegment> m) {
    long n = p.dx().shape().elements();
    return context.elements(
        context.work(Family.MIX).reads(p.x(), p.dy()).writes(p.dx()),
        "activation",
        context.typed("activation_backward", p.x()),
        vectors(context, n),
        new CudaArguments()
            .pointer(m.apply(p.x()))
            .pointer(m.apply(p.dy()))
            .i32(code(p.function()))
            .pointer(m.apply(p.dx()))
            .i64(n));
  }

  private static long vectors(CudaContext context, long n) {
    return n * context.imageBytes() / VECTOR + 1;
  }

  static Kernel scaleChannels(
      CudaContext context, Op.ScaleChannels s, Function<Value, MemorySegment> m) {
    return context.elements(
        context.work(Family.MIX).reads(s.x(), s.s()).writes(s.y()),
        "scale_channels",
        context.typed("scale_channels_forward", s.x()),
        vectors(context, s.y().shape().elements()),
        sizes(
            new CudaArguments()
                .pointer(m.apply(s.x()))
                .pointer(m.apply(s.s()))
                .pointer(m.apply(s.y())),
            s.x()));
  }

  static Kernel backwardFactors(
      CudaContext context, Op.ScaleChannelsBackwardFactors s, Function<Value, MemorySegment> m) {
    int channels = s.x().shape().get(1);
    int perVector = VECTOR / context.imageBytes();
    int groups = channels % perVector == 0 ? channels / perVector : channels;
    // Neighbouring threads take neighbouring channels, so many that a line of memory is read whole.
    int across = Math.min(32, Integer.highestOneBit(2 * groups - 1));
    int tiles = Math.ceilDiv(groups, across);
    return context.kernel(
        context
            .work(Family.MIX)
            .reads(s.x(), s.dy())
            .writes(s.ds())
            .over(
                s.x().shape().elements() / perVector,
                (long) tiles * s.x().shape().get(0) * CudaContext.BLOCK),
        "scale_channels",
        context.typed("scale_channels_backward_factors", s.x()),
        new int[] {tiles, s.x().shape().get(0), 1},
        CudaContext.THREADS,
        sizes(
                new CudaArguments()
                    .pointer(m.apply(s.x()))
                    .pointer(m.apply(s.dy()))
                    .pointer(m.apply(s.ds())),
                s.x())
            .i32(across));
  }

  private static CudaArguments sizes(CudaArguments arguments, Value images) {
    return arguments
        .i32(images.shape().get(0))
        .i32(images.shape().get(2) * images.shape().get(3))
        .i32(images.shape().get(1));
  }
}
