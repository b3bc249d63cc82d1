package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.Locale;

/**
 * Depthwise convolutions 3x3 and 5x5, stride 1 and 2, by our kernels. Images may be a slice of the
 * channels of wider ones, so that convolutions over neighbouring channels can be one call.
 */
final class CudaDepthwise {
  /** Channels of one block; a thread has two of them. */
  private static final int TILE_CHANNELS = 32;

  /** Patches of pixels in a tile; in a narrow one half of them. */
  private static final int PATCHES = 8;

  /** Parts of a sum that one block adds. */
  private static final int PARTS_AT_ONCE = 16;

  /** What adding an element to the sums of statistics takes, three instructions. */
  private static final long STATISTICS_FLOPS = 6;

  /** What adding an element to the two sums of a norm's gradient takes, six instructions. */
  private static final long SUM_FLOPS = 12;

  /**
   * Some channels of images that lie channels-last.
   *
   * @param memory from the slice's first channel of the first pixel on
   * @param channels of the slice
   * @param stride elements from one pixel to the next: the channels of the whole images
   */
  record Slice(MemorySegment memory, int channels, int stride) {
    /** All channels. */
    Slice(MemorySegment memory, int channels) {
      this(memory, channels, channels);
    }
  }

  /**
   * A batch norm through which x is read, each array from the slice's first channel on, in f32.
   *
   * @param relu whether a ReLU follows
   */
  record Norm(
      MemorySegment mean,
      MemorySegment inverseDeviation,
      MemorySegment gamma,
      MemorySegment beta,
      boolean relu) {}

  /**
   * Sizes of a convolution.
   *
   * @param n images
   * @param h rows of x
   * @param w columns of x
   * @param oh rows of y
   * @param ow columns of y
   * @param kernel 3 or 5
   * @param stride 1 or 2
   * @param bf16 whether images are bf16, else f32
   */
  record Sizes(int n, int h, int w, int oh, int ow, int kernel, int stride, boolean bf16) {
    long xElements(Slice slice) {
      return (long) n * h * w * slice.channels();
    }

    long yElements(Slice slice) {
      return (long) n * oh * ow * slice.channels();
    }

    long weightBytes(Slice slice) {
      return (long) Float.BYTES * kernel * kernel * slice.channels();
    }

    /** Two a multiply-add; the same in all three directions. */
    long flops(Slice slice) {
      return 2L * n * oh * ow * slice.channels() * kernel * kernel;
    }
  }

  /**
   * What normalising adds: each input once, those at the edges of tiles half as often again, at
   * what four multiply-adds take.
   */
  private static long normFlops(Norm norm, Sizes s, Slice x) {
    return norm == null ? 0 : 12 * s.xElements(x);
  }

  private static long normBytes(Norm norm, Slice slice) {
    return norm == null ? 0 : 4L * Float.BYTES * slice.channels();
  }

  private CudaDepthwise() {}

  /**
   * The convolution.
   *
   * @param norm what x is made by while it is read, null where it lies in memory
   * @param w f32 [channels, 1, kernel, kernel]
   * @param statistics of y, from the slice's first channel on; null where nobody wants them
   */
  static Kernel forward(
      CudaContext context,
      Sizes s,
      Slice x,
      Norm norm,
      MemorySegment w,
      Slice y,
      CudaNorm.Statistics statistics) {
    Shape shape = Shape.gathering(context, s, x.channels(), s.oh(), s.ow());
    CudaArguments arguments =
        new CudaArguments().pointer(x.memory()).pointer(w).pointer(y.memory());
    Work work =
        context
            .work(Family.DEPTHWISE_FORWARD)
            .readsImages(s.xElements(x))
            .reads(s.weightBytes(x) + normBytes(norm, x))
            .writesImages(s.yElements(y));
    long flops = s.flops(x) + normFlops(norm, s, x);
    normed(sizes(arguments, shape, s, x, y), norm);
    if (statistics == null) {
      return shape.kernel(context, work.flops(flops), "depthwise", "forward", arguments);
    }
    statistics.after(
        arguments
            .pointer(context.scratch("partial", 16L * shape.parts() * y.stride()))
            .pointer(context.tickets(y.channels()))
            .i64((long) s.n() * s.oh() * s.ow()));
    // Of a channel's parts each of its threads loads four at once; then what moves.
    work.reads(16L * y.channels() * shape.parts())
        .writes(16L * y.channels() * (shape.parts() + 1))
        .rounds(2 + Math.ceilDiv(shape.parts(), shape.threads() / 8))
        .rounds(statistics.runningMean() == null ? 0 : 3)
        .flops(flops + STATISTICS_FLOPS * s.yElements(y));
    return shape.kernel(context, work, "depthwise", "forward_statistics", arguments);
  }

  /**
   * The gradient in the images: dx of dy.
   *
   * @param sums of the gradient of the norm that takes dx, from the slice's first channel on; null
   *     where nobody wants them
   */
  static Kernel backwardData(
      CudaContext context,
      Sizes s,
      Slice dy,
      MemorySegment w,
      Slice dx,
      CudaNorm.GradientSums sums) {
    Shape shape =
        s.stride() == 1
            ? Shape.gathering(context, s, dx.channels(), s.h(), s.w())
            : Shape.spreading(context, s, dx.channels());
    CudaArguments arguments =
        sizes(
            new CudaArguments().pointer(dy.memory()).pointer(w).pointer(dx.memory()),
            shape,
            s,
            dx,
            dy);
    Work work =
        context
            .work(Family.DEPTHWISE_DATA)
            .readsImages(s.yElements(dy))
            .reads(s.weightBytes(dy))
            .writesImages(s.xElements(dx));
    if (sums == null) {
      return shape.kernel(
          context, work.flops(s.flops(dy)), "depthwise", "backward_data", arguments);
    }
    CudaNorm.Numbers norm = sums.numbers();
    norm.after(arguments.pointer(sums.x()))
        .i32(norm.relu() ? 1 : 0)
        .pointer(context.scratch("partial", 8L * shape.parts() * dx.stride()))
        .pointer(context.tickets(dx.channels()))
        .i64((long) s.n() * s.h() * s.w());
    // Of each sum a pair of threads loads 16 parts at once, a single one where blocks are narrow.
    work.readsImages(s.xElements(dx))
        .reads(16L * dx.channels() + 8L * dx.channels() * shape.parts())
        .writes(16L * dx.channels() + 8L * dx.channels() * shape.parts())
        .rounds(2 + Math.ceilDiv(shape.parts(), shape.threads() / 4))
        .flops(s.flops(dy) + SUM_FLOPS * s.xElements(dx));
    return shape.kernel(context, work, "depthwise", "backward_data_sums", sums.ends(arguments));
  }

  /**
   * The gradient in the weights, in one call: the last blocks to end add what the others summed, in
   * the order of the parts.
   *
   * @param norm what x is made by while it is read, null where it lies in memory
   * @param dw f32 [channels, 1, kernel, kernel]
   */
  static Kernel backwardWeights(
      CudaContext context, Sizes s, Slice x, Norm norm, Slice dy, MemorySegment dw) {
    Shape shape = Shape.gathering(context, s, x.channels(), s.oh(), s.ow());
    long blocks = (long) shape.tiles() * shape.parts();
    long sums = (long) s.kernel() * s.kernel() * TILE_CHANNELS;
    int levels = 0;
    for (long added = 1; added < shape.parts(); added *= PARTS_AT_ONCE) {
      levels++;
    }
    CudaArguments arguments =
        new CudaArguments()
            .pointer(x.memory())
            .pointer(dy.memory())
            .pointer(context.scratch("partial", Float.BYTES * blocks * sums))
            // Owned, as they must be zeros before the first launch and are so again after each.
            .pointer(levels == 0 ? null : context.own(Integer.BYTES * blocks * levels))
            .pointer(dw);
    Work work =
        context
            .work(Family.DEPTHWISE_WEIGHTS)
            .readsImages(s.xElements(x) + s.yElements(dy))
            .reads(normBytes(norm, x))
            .writes(s.weightBytes(x))
            .parts(Math.toIntExact(blocks), Float.BYTES * sums)
            .flops(s.flops(x) + normFlops(norm, s, x));
    return shape.kernel(
        context,
        work,
        "depthwise_weights",
        "backward_weights",
        normed(sizes(arguments, shape, s, x, dy), norm));
  }

  private static CudaArguments sizes(CudaArguments a, Shape shape, Sizes s, Slice x, Slice y) {
    requireCountable(s.h(), s.w(), x.stride());
    requireCountable(s.oh(), s.ow(), y.stride());
    return a.i32(shape.jobs())
        .i32(shape.down())
        .i32(shape.right())
        .i32(x.channels())
        .i32(s.h())
        .i32(s.w())
        .i32(x.stride())
        .i32(s.oh())
        .i32(s.ow())
        .i32(y.stride());
  }

  private static void requireCountable(int h, int w, int stride) {
    if ((long) h * w * stride > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "an image of %d x %d pixels with %d channels is too large: the depthwise kernels"
                  + " count its elements in 32 bits",
              h,
              w,
              stride));
    }
  }

  private static CudaArguments normed(CudaArguments arguments, Norm norm) {
    if (norm == null) {
      return arguments.pointer(null).pointer(null).pointer(null).pointer(null).i32(0);
    }
    return arguments
        .pointer(norm.mean())
        .pointer(norm.inverseDeviation())
        .pointer(norm.gamma())
        .pointer(norm.beta())
        .i32(norm.relu() ? 1 : 0);
  }

  /**
   * How many blocks of how many threads share the work.
   *
   * @param sizes of the convolution
   * @param threads of a block
   * @param down tiles of pixels above each other in an image
   * @param right tiles of pixels side by side in an image
   * @param jobs tiles of pixels
   * @param tiles of channels
   * @param parts into which the jobs are cut, a block each for every tile of channels
   */
  private record Shape(
      Sizes sizes, int threads, int down, int right, int jobs, int tiles, int parts) {

    /** Each of h x w outputs looks at its inputs: tiles of 8x16 or, with stride 2, 8x8. */
    static Shape gathering(CudaContext context, Sizes s, int channels, int h, int w) {
      return of(context, s, channels, h, w, 8, s.stride() == 1 ? 16 : 8);
    }

    /** Each pixel of dx looks at the pixels of dy that saw it: tiles of 16x16. */
    static Shape spreading(CudaContext context, Sizes s, int channels) {
      return of(context, s, channels, s.h(), s.w(), 16, 16);
    }

    private static Shape of(
        CudaContext context, Sizes s, int channels, int h, int w, int tileRows, int tileColumns) {
      boolean narrow = w <= tileColumns / 2;
      int columns = narrow ? tileColumns / 2 : tileColumns;
      int threads = TILE_CHANNELS / 2 * (narrow ? PATCHES / 2 : PATCHES);
      int down = (h + tileRows - 1) / tileRows;
      int right = (w + columns - 1) / columns;
      int jobs = Math.toIntExact((long) s.n() * down * right);
      int tiles = (channels + TILE_CHANNELS - 1) / TILE_CHANNELS;
      // As many blocks as the launch bounds let run at once, all with about as many jobs.
      int most = Math.max(1, context.blocksAtOnce(s.kernel() == 3 ? 5 : 4) / tiles);
      int rounds = (jobs + most - 1) / most;
      return new Shape(s, threads, down, right, jobs, tiles, (jobs + rounds - 1) / rounds);
    }

    Kernel kernel(
        CudaContext context, Work work, String file, String what, CudaArguments arguments) {
      String name =
          String.format(
              Locale.ROOT,
              "depthwise_k%ds%d_%s_%s",
              sizes.kernel(),
              sizes.stride(),
              what,
              sizes.bf16() ? "bf16" : "f32");
      int[] grid = {tiles, parts, 1};
      // The taps; then each tile, of which the copies are all on their way at once.
      return context.kernel(
          work.rounds(1).over(jobs, parts), file, name, grid, new int[] {threads, 1, 1}, arguments);
    }
  }
}
