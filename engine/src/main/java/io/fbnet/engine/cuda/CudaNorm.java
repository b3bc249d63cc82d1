package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/**
 * Batch norm as a sum over parts of the pixels, whose last block ends it, and a pass over the
 * elements. The parts are added in order, so equal inputs give equal bits.
 */
final class CudaNorm {
  private static final String FILE = "batch_norm";

  /** Of a part: one pixel for each thread of a block that holds 16 bytes of 32 channels. */
  static final int LEAST_PIXELS = 64;

  /** Blocks that fit a multiprocessor at once; each loads its channels' numbers once. */
  private static final int APPLY_BLOCKS = 5;

  static final int GRADIENT_BLOCKS = 3;

  private CudaNorm() {}

  /**
   * Images as the kernels see them: pixels by channels.
   *
   * @param memory of the first pixel, in the type of the context's images
   * @param pixels of all images
   * @param channels of a pixel
   */
  record Pixels(MemorySegment memory, long pixels, int channels) {
    static Pixels of(Value images, MemorySegment memory) {
      int c = images.shape().get(1);
      return new Pixels(memory, images.shape().elements() / c, c);
    }

    int parts(CudaContext context) {
      return context.parts(pixels, LEAST_PIXELS, CudaContext.tiles(channels));
    }

    long elements() {
      return pixels * channels;
    }

    /** Work of a pass: these and a norm's numbers, which each thread loads for its channels. */
    private Work pass(CudaContext context, Family family, int numbers, int blocks) {
      int vector = 16 / context.imageBytes();
      long apart = Math.min(32, Math.max(1, channels / vector));
      return context
          .work(family)
          .readsImages(elements())
          .reads((long) Float.BYTES * numbers * channels)
          .again((long) CudaContext.BLOCK * blocks * vector * numbers * apart / 32)
          .rounds(1);
    }

    /** Work of sums over parts, {@code unrolled} pixels at once, which the last block ends. */
    private Work sums(CudaContext context, Family family, int unrolled) {
      int parts = parts(context);
      return context
          .work(family)
          .readsImages(elements())
          .writes(16L * channels)
          .rounds(
              CudaContext.roundsOfSums(
                  pixels, parts, channels, 16 / context.imageBytes(), unrolled))
          .parts(parts, 8L * channels);
    }
  }

  /**
   * A norm's numbers, f32, one a channel.
   *
   * @param mean of the batch
   * @param inverse deviation of the batch
   * @param gamma scale
   * @param beta shift
   * @param relu whether a ReLU follows
   */
  record Numbers(
      MemorySegment mean,
      MemorySegment inverse,
      MemorySegment gamma,
      MemorySegment beta,
      boolean relu) {
    CudaArguments after(CudaArguments arguments) {
      return arguments.pointer(mean).pointer(inverse).pointer(gamma).pointer(beta);
    }

    /** Those of the channels from {@code first} on. */
    Numbers from(int first) {
      long at = (long) Float.BYTES * first;
      return new Numbers(
          mean.asSlice(at), inverse.asSlice(at), gamma.asSlice(at), beta.asSlice(at), relu);
    }
  }

  /**
   * What statistics leave, and what of.
   *
   * @param mean of the batch
   * @param inverse deviation of the batch
   * @param runningMean null where it does not move
   * @param runningVariance null likewise
   * @param momentum share of the batch, null likewise
   * @param epsilon added to the variance
   * @param places where each channel's numbers lie, null where they lie side by side
   * @param gamma what places count from, null without them
   * @param packed takes gamma and beta side by side, null without places
   */
  record Statistics(
      MemorySegment mean,
      MemorySegment inverse,
      MemorySegment runningMean,
      MemorySegment runningVariance,
      MemorySegment momentum,
      float epsilon,
      MemorySegment places,
      MemorySegment gamma,
      MemorySegment packed) {
    /** Those of the channels from {@code first} on, where there are places. */
    Statistics from(int first) {
      long at = (long) Float.BYTES * first;
      return new Statistics(
          mean.asSlice(at),
          inverse.asSlice(at),
          runningMean,
          runningVariance,
          momentum,
          epsilon,
          places.asSlice(at),
          gamma,
          packed.asSlice(at));
    }

    /** Nowhere. */
    static final Statistics NONE =
        new Statistics(null, null, null, null, null, 0, null, null, null);

    CudaArguments after(CudaArguments arguments) {
      return arguments
          .pointer(mean)
          .pointer(inverse)
          .pointer(runningMean)
          .pointer(runningVariance)
          .pointer(momentum)
          .f32(epsilon)
          .pointer(places)
          .pointer(gamma)
          .pointer(packed);
    }
  }

  /**
   * Where the gradients of gamma and beta go.
   *
   * @param gamma null where nothing needs them
   * @param beta null likewise
   * @param places as in {@link Statistics}; both are then counted from the same place
   */
  record Gradients(MemorySegment gamma, MemorySegment beta, MemorySegment places) {}

  /**
   * What the gradient's sums take beside the gradient, and where they go.
   *
   * @param x what the norm read, as many pixels as the gradient has
   * @param channels of all of x: what lies from pixel to pixel of it, and between two numbers of a
   *     channel
   * @param numbers of the norm
   * @param means takes those that the gradient in x needs, f32 [2][channels]
   * @param to where the gradients of gamma and beta go
   */
  record GradientSums(
      MemorySegment x, int channels, Numbers numbers, MemorySegment means, Gradients to) {
    /** Those of the channels from {@code first} on. */
    GradientSums from(int first, int imageBytes) {
      long at = (long) Float.BYTES * first;
      return new GradientSums(
          x.asSlice((long) first * imageBytes),
          channels,
          numbers.from(first),
          means.asSlice(at),
          new Gradients(
              to.gamma(), to.beta(), to.places() == null ? null : to.places().asSlice(at)));
    }

    CudaArguments ends(CudaArguments arguments) {
      return arguments.pointer(means).pointer(to.gamma()).pointer(to.beta()).pointer(to.places());
    }
  }

  static Kernel forward(CudaContext context, Op.BatchNorm bn, Function<Value, MemorySegment> m) {
    return CudaContext.sequence(statistics(context, bn, m), apply(context, bn.application(), m));
  }

  /** All but the normalised images. */
  static Kernel statistics(CudaContext context, Op.BatchNorm bn, Function<Value, MemorySegment> m) {
    boolean moves = bn.momentum() != null;
    Pixels x = Pixels.of(bn.x(), m.apply(bn.x()));
    Statistics to =
        new Statistics(
            m.apply(bn.mean()),
            m.apply(bn.inverseDeviation()),
            moves ? m.apply(bn.runningMean()) : null,
            moves ? m.apply(bn.runningVariance()) : null,
            moves ? m.apply(bn.momentum()) : null,
            bn.epsilon(),
            null,
            null,
            null);
    return RankNorm.exchanges(context, bn.overRanks())
        ? RankNorm.statistics(context, x, to)
        : statistics(context, x, to);
  }

  static Kernel statistics(CudaContext context, Pixels x, Statistics to) {
    int parts = x.parts(context);
    return context.partialSums(
        x.sums(context, Family.NORM_STATISTICS, 4).rounds(to.runningMean() == null ? 0 : 3),
        FILE,
        context.typed("batch_norm_statistics"),
        parts,
        x.channels(),
        to.after(
            new CudaArguments()
                .pointer(x.memory())
                .pointer(context.scratch("partial", 8L * parts * x.channels()))
                .pointer(context.tickets(x.channels()))
                .i64(x.pixels())
                .i32(x.channels())));
  }

  static Kernel apply(CudaContext context, Op.BatchNormApply bn, Function<Value, MemorySegment> m) {
    Numbers numbers =
        new Numbers(
            m.apply(bn.mean()),
            m.apply(bn.inverseDeviation()),
            m.apply(bn.gamma()),
            m.apply(bn.beta()),
            bn.relu());
    return apply(context, Pixels.of(bn.x(), m.apply(bn.x())), numbers, m.apply(bn.y()));
  }

  static Kernel apply(CudaContext context, Pixels x, Numbers numbers, MemorySegment y) {
    int blocks = context.blocks(x.elements() / 4, APPLY_BLOCKS);
    return context.kernel(
        x.pass(context, Family.NORM_APPLY, 4, blocks)
            .writesImages(x.elements())
            .over(x.elements() / 4, (long) blocks * CudaContext.BLOCK),
        FILE,
        context.typed("batch_norm_apply"),
        new int[] {blocks, 1, 1},
        CudaContext.THREADS,
        numbers
            .after(new CudaArguments().pointer(x.memory()))
            .pointer(y)
            .i64(x.pixels())
            .i32(x.channels())
            .i32(numbers.relu() ? 1 : 0));
  }

  static Kernel inference(
      CudaContext context, Op.BatchNormInference bn, Function<Value, MemorySegment> m) {
    int c = bn.x().shape().get(1);
    long n = bn.x().shape().elements();
    return context.elements(
        Pixels.of(bn.x(), m.apply(bn.x()))
            .pass(context, Family.NORM_APPLY, 4, context.blocks(n / 4))
            .writes(bn.y()),
        FILE,
        context.typed("batch_norm_inference"),
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
    Pixels x = Pixels.of(bn.x(), m.apply(bn.x()));
    MemorySegment dy = m.apply(share == null ? bn.dy() : share.dy());
    Share weight = share == null ? Share.NONE : Share.of(share, m);
    GradientSums sums =
        new GradientSums(
            x.memory(),
            x.channels(),
            new Numbers(
                m.apply(bn.mean()),
                m.apply(bn.inverseDeviation()),
                m.apply(bn.gamma()),
                m.apply(bn.beta()),
                bn.relu()),
            context.scratch("means", 8L * x.channels()),
            new Gradients(
                bn.dgamma() == null ? null : m.apply(bn.dgamma()),
                bn.dbeta() == null ? null : m.apply(bn.dbeta()),
                null));
    return CudaContext.sequence(
        gradientSums(context, x, dy, sums, weight),
        RankNorm.exchanges(context, bn.overRanks()) ? RankNorm.means(context, sums) : null,
        gradientApply(context, x, dy, sums, weight, m.apply(bn.dx()), null));
  }

  /** The sums of the gradient, which end those of gamma and beta. */
  static Kernel gradientSums(
      CudaContext context, Pixels x, MemorySegment dy, GradientSums sums, Share share) {
    int parts = x.parts(context);
    CudaArguments arguments =
        sums.ends(
            sums.numbers()
                .after(new CudaArguments().pointer(x.memory()).pointer(dy))
                .pointer(context.scratch("partial", 8L * parts * x.channels()))
                .pointer(context.tickets(x.channels()))
                .i64(x.pixels())
                .i32(x.channels())
                .i32(sums.numbers().relu() ? 1 : 0));
    String name = "batch_norm_backward_sums" + (share.m() == null ? "" : "_scaled");
    return context.partialSums(
        x.sums(context, Family.NORM_GRADIENT_SUMS, 2)
            .readsImages(x.elements())
            .reads(16L * x.channels()),
        FILE,
        context.typed(name),
        parts,
        x.channels(),
        share.m() == null ? arguments : share.after(arguments));
  }

  /**
   * The gradient in x, once its sums are there.
   *
   * @param y takes the normalised images once more, null where nobody wants them
   */
  static Kernel gradientApply(
      CudaContext context,
      Pixels x,
      MemorySegment dy,
      GradientSums sums,
      Share share,
      MemorySegment dx,
      MemorySegment y) {
    int blocks = context.blocks(x.elements() / 4, GRADIENT_BLOCKS);
    return context.kernel(
        x.pass(context, Family.NORM_GRADIENT_APPLY, 6, blocks)
            .readsImages(x.elements())
            .writesImages((y == null ? 1 : 2) * x.elements())
            .over(x.elements() / 4, (long) blocks * CudaContext.BLOCK),
        FILE,
        context.typed("batch_norm_backward_apply"),
        new int[] {blocks, 1, 1},
        CudaContext.THREADS,
        share.after(
            sums.numbers()
                .after(new CudaArguments().pointer(x.memory()).pointer(dy))
                .pointer(sums.means())
                .pointer(dx)
                .pointer(y)
                .i64(x.pixels())
                .i32(x.channels())
                .i32(sums.numbers().relu() ? 1 : 0)));
  }

  /**
   * The weight of a candidate by which a gradient is scaled while it is read.
   *
   * @param m the candidate's weight in the first row, null where there is none
   * @param candidates weights in a row
   * @param pixels of an image where each has its own row, else 0
   */
  record Share(MemorySegment m, int candidates, long pixels) {
    static final Share NONE = new Share(null, 0, 0);

    static Share of(Op.WeightedSumBackwardInput share, Function<Value, MemorySegment> m) {
      long pixels = (long) share.dy().shape().get(2) * share.dy().shape().get(3);
      return new Share(
          m.apply(share.m()).asSlice((long) share.k() * Float.BYTES),
          share.m().shape().get(1),
          share.m().shape().get(0) > 1 ? pixels : 0);
    }

    CudaArguments after(CudaArguments arguments) {
      return arguments.pointer(m).i32(candidates).i64(pixels);
    }
  }
}
