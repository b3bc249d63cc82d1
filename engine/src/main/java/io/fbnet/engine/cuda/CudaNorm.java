package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/**
 * Batch norm as a sum over parts of the pixels, its end, and a pass over the elements. The parts
 * are added in order, so equal inputs give equal bits.
 */
final class CudaNorm {
  private static final String FILE = "batch_norm";
  private static final int LEAST_PIXELS = 256;

  private CudaNorm() {}

  private record Sizes(long pixels, int channels, int parts) {
    static Sizes of(CudaContext context, Value x) {
      int c = x.shape().get(1);
      long pixels = x.shape().elements() / c;
      return new Sizes(pixels, c, context.parts(pixels, LEAST_PIXELS, CudaContext.tiles(c)));
    }

    MemorySegment partial(CudaContext context) {
      return context.scratch("partial", partialBytes());
    }

    /** Two sums of f32 for each part and channel. */
    long partialBytes() {
      return 4L * parts * 2 * channels;
    }

    /** Of a kernel that sums parts, {@code unrolled} pixels at once, 16 bytes each. */
    long rounds(CudaContext context, Value x, int unrolled) {
      return CudaContext.roundsOfSums(
          pixels, parts, channels, 16 / context.elementBytes(x), unrolled);
    }

    /** Adds the parts. */
    Work end(CudaContext context) {
      return context
          .work(Family.NORM_END)
          .reads(partialBytes())
          .rounds(2L * CudaContext.roundsOfEnd(parts));
    }
  }

  static Kernel forward(CudaContext context, Op.BatchNorm bn, Function<Value, MemorySegment> m) {
    return CudaContext.sequence(statistics(context, bn, m), apply(context, bn.application(), m));
  }

  /** All but the normalised images. */
  static Kernel statistics(CudaContext context, Op.BatchNorm bn, Function<Value, MemorySegment> m) {
    Sizes s = Sizes.of(context, bn.x());
    MemorySegment partial = s.partial(context);
    boolean moves = bn.momentum() != null;
    Kernel sums =
        context.partialSums(
            context
                .work(Family.NORM_STATISTICS)
                .reads(bn.x())
                .writes(s.partialBytes())
                .rounds(s.rounds(context, bn.x(), 4)),
            FILE,
            context.typed("batch_norm_statistics", bn.x()),
            s.parts(),
            s.channels(),
            new CudaArguments()
                .pointer(m.apply(bn.x()))
                .pointer(partial)
                .i64(s.pixels())
                .i32(s.channels()));
    Work end =
        s.end(context)
            .reads((long) s.channels() * context.elementBytes(bn.x()))
            .writes(bn.mean(), bn.inverseDeviation());
    if (moves) {
      // Momentum, then the two running numbers, one after the other.
      end.reads(bn.runningMean(), bn.runningVariance())
          .writes(bn.runningMean(), bn.runningVariance())
          .rounds(3);
    }
    Kernel finish =
        context.addedParts(
            end,
            FILE,
            context.typed("batch_norm_finish", bn.x()),
            s.channels(),
            new CudaArguments()
                .pointer(m.apply(bn.x()))
                .pointer(partial)
                .i32(s.parts())
                .i64(s.pixels())
                .i32(s.channels())
                .pointer(m.apply(bn.mean()))
                .pointer(m.apply(bn.inverseDeviation()))
                .pointer(moves ? m.apply(bn.runningMean()) : null)
                .pointer(moves ? m.apply(bn.runningVariance()) : null)
                .pointer(moves ? m.apply(bn.momentum()) : null)
                .f32(bn.epsilon()));
    return CudaContext.sequence(sums, finish);
  }

  static Kernel apply(CudaContext context, Op.BatchNormApply bn, Function<Value, MemorySegment> m) {
    int c = bn.x().shape().get(1);
    long n = bn.x().shape().elements();
    return context.elements(
        context
            .work(Family.NORM_APPLY)
            .reads(bn.x(), bn.mean(), bn.inverseDeviation(), bn.gamma(), bn.beta())
            .writes(bn.y())
            .again(channelLoads(context, bn.x(), 4))
            .rounds(1),
        FILE,
        context.typed("batch_norm_apply", bn.x()),
        n / 4,
        new CudaArguments()
            .pointer(m.apply(bn.x()))
            .pointer(m.apply(bn.mean()))
            .pointer(m.apply(bn.inverseDeviation()))
            .pointer(m.apply(bn.gamma()))
            .pointer(m.apply(bn.beta()))
            .pointer(m.apply(bn.y()))
            .i64(n / c)
            .i32(c)
            .i32(bn.relu() ? 1 : 0));
  }

  static Kernel inference(
      CudaContext context, Op.BatchNormInference bn, Function<Value, MemorySegment> m) {
    int c = bn.x().shape().get(1);
    long n = bn.x().shape().elements();
    return context.elements(
        context
            .work(Family.NORM_APPLY)
            .reads(bn.x(), bn.gamma(), bn.beta(), bn.runningMean(), bn.runningVariance())
            .writes(bn.y())
            .again(channelLoads(context, bn.x(), 4))
            .rounds(1),
        FILE,
        context.typed("batch_norm_inference", bn.x()),
        n / 4,
        new CudaArguments()
            .pointer(m.apply(bn.x()))
            .pointer(m.apply(bn.gamma()))
            .pointer(m.apply(bn.beta()))
            .pointer(m.apply(bn.runningMean()))
            .pointer(m.apply(bn.runningVariance()))
            .pointer(m.apply(bn.y()))
            .i64(n / c)
            .i32(c)
            .f32(bn.epsilon())
            .i32(bn.relu() ? 1 : 0));
  }

  /**
   * The gradient.
   *
   * @param share what the gradient dy is made by while it is read, null where it lies in memory
   */
  static Kernel backward(
      CudaContext context,
      Op.BatchNormBackward bn,
      Op.WeightedSumBackwardInput share,
      Function<Value, MemorySegment> m) {
    Sizes s = Sizes.of(context, bn.x());
    MemorySegment partial = s.partial(context);
    MemorySegment means = context.scratch("means", 8L * s.channels());
    int relu = bn.relu() ? 1 : 0;
    CudaArguments summed =
        inputs(bn, share, m).pointer(partial).i64(s.pixels()).i32(s.channels()).i32(relu);
    String name = "batch_norm_backward_sums" + (share == null ? "" : "_scaled");
    Kernel sums =
        context.partialSums(
            gradient(context, Family.NORM_GRADIENT_SUMS, bn, share)
                .writes(s.partialBytes())
                .rounds(s.rounds(context, bn.x(), 2)),
            FILE,
            context.typed(name, bn.x()),
            s.parts(),
            s.channels(),
            share == null ? summed : scaled(summed, share, m));
    Kernel finish =
        context.addedParts(
            s.end(context).writes(8L * s.channels()).writes(bn.dgamma(), bn.dbeta()),
            FILE,
            "batch_norm_backward_finish",
            s.channels(),
            new CudaArguments()
                .pointer(partial)
                .i32(s.parts())
                .i64(s.pixels())
                .i32(s.channels())
                .pointer(means)
                .pointer(bn.dgamma() == null ? null : m.apply(bn.dgamma()))
                .pointer(bn.dbeta() == null ? null : m.apply(bn.dbeta())));
    Kernel apply =
        context.elements(
            gradient(context, Family.NORM_GRADIENT_APPLY, bn, share)
                .reads(8L * s.channels())
                .writes(bn.dx())
                .again(channelLoads(context, bn.x(), 6)),
            FILE,
            context.typed("batch_norm_backward_apply", bn.x()),
            bn.x().shape().elements() / 4,
            scaled(
                inputs(bn, share, m)
                    .pointer(means)
                    .pointer(m.apply(bn.dx()))
                    .i64(s.pixels())
                    .i32(s.channels())
                    .i32(relu),
                share,
                m));
    return CudaContext.sequence(sums, finish, apply);
  }

  /**
   * Loads of the channels' numbers before a pass over images: each thread takes those of its
   * channels, and the threads of a warp that have the same ones take them together.
   */
  private static long channelLoads(CudaContext context, Value x, int numbers) {
    int vector = 16 / context.elementBytes(x);
    long threads = (long) CudaContext.BLOCK * context.blocks(x.shape().elements() / 4);
    long apart = Math.min(32, Math.max(1, x.shape().get(1) / vector));
    return threads * vector * numbers * apart / 32;
  }

  /** What both passes of the gradient read, the channels' numbers before the elements. */
  private static Work gradient(
      CudaContext context,
      Family family,
      Op.BatchNormBackward bn,
      Op.WeightedSumBackwardInput share) {
    return context
        .work(family)
        .reads(bn.x(), share == null ? bn.dy() : share.dy())
        .reads(bn.mean(), bn.inverseDeviation(), bn.gamma(), bn.beta())
        .rounds(1);
  }

  /** The weight of the candidate, with the pixels of an image where each has its own. */
  private static CudaArguments scaled(
      CudaArguments arguments,
      Op.WeightedSumBackwardInput share,
      Function<Value, MemorySegment> m) {
    if (share == null) {
      return arguments.pointer(null).i32(0).i64(0);
    }
    int candidates = share.m().shape().get(1);
    long pixels = (long) share.dy().shape().get(2) * share.dy().shape().get(3);
    return arguments
        .pointer(m.apply(share.m()).asSlice((long) share.k() * Float.BYTES))
        .i32(candidates)
        .i64(share.m().shape().get(0) > 1 ? pixels : 0);
  }

  private static CudaArguments inputs(
      Op.BatchNormBackward bn,
      Op.WeightedSumBackwardInput share,
      Function<Value, MemorySegment> m) {
    return new CudaArguments()
        .pointer(m.apply(bn.x()))
        .pointer(m.apply(share == null ? bn.dy() : share.dy()))
        .pointer(m.apply(bn.mean()))
        .pointer(m.apply(bn.inverseDeviation()))
        .pointer(m.apply(bn.gamma()))
        .pointer(m.apply(bn.beta()));
  }
}
