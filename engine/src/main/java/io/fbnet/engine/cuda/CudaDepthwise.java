package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.Locale;

/**
 * Depthwise convolutions 3x3 and 5x5, stride 1 and 2, by our kernels; in bf16 with stride 1 they
 * run on tensor cores ({@link DepthwiseProducts}). Images may be a slice of the channels of wider
 * ones, so that convolutions over neighbouring channels can be one call.
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

  /** How the work is cut, and which kernels do it. */
  interface Tiling {
    /** Of a block. */
    int threads();

    /** Blocks that share the pixels of a tile of channels. */
    int parts();

    /** What the arithmetic takes, two a multiply-add. */
    long flops(Slice slice);

    /** The same of normalising an input: those at the edges of tiles are so half as often again. */
    long normFlops();

    /** Adds what every kernel takes behind its arrays. */
    CudaArguments sizes(CudaArguments arguments, Slice x, Slice y);

    /** The kernel that does what it says. */
    Kernel kernel(CudaContext context, Work work, String what, CudaArguments arguments);
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
    Tiling tiling =
        DepthwiseProducts.serve(context, s)
            ? DepthwiseProducts.of(context, s, x, y, DepthwiseProducts.Kind.IMAGES)
            : Shape.gathering(context, s, "depthwise", x.channels(), s.oh(), s.ow());
    requireCountable(s.h(), s.w(), x.stride());
    requireCountable(s.oh(), s.ow(), y.stride());
    CudaArguments arguments =
        new CudaArguments().pointer(x.memory()).pointer(w).pointer(y.memory());
    Work work =
        context
            .work(Family.DEPTHWISE_FORWARD)
            .readsImages(s.xElements(x))
            .reads(s.weightBytes(x) + normBytes(norm, x))
            .writesImages(s.yElements(y));
    long flops = tiling.flops(x) + (norm == null ? 0 : tiling.normFlops() * s.xElements(x));
    normed(tiling.sizes(arguments, x, y), norm);
    if (statistics == null) {
      return tiling.kernel(context, work.flops(flops), "_forward", arguments);
    }
    statistics.after(
        arguments
            .pointer(context.scratch("partial", 16L * tiling.parts() * y.stride()))
            .pointer(context.tickets(y.channels()))
            .i64((long) s.n() * s.oh() * s.ow()));
    // Of a channel's parts each of its threads loads four at once; then what moves.
    work.reads(16L * y.channels() * tiling.parts())
        .writes(16L * y.channels() * (tiling.parts() + 1))
        .rounds(2 + Math.ceilDiv(tiling.parts(), tiling.threads() / 8))
        .rounds(statistics.runningMean() == null ? 0 : 3)
        .flops(flops + STATISTICS_FLOPS * s.yElements(y));
    return tiling.kernel(context, work, "_forward_statistics", arguments);
  }

  /**
   * The gradient in the images: dx of dy.
   *
   * @param sums of the gradient of the norm that takes dx, from the slice's first channel on; dx is
   *     then zero where the ReLU behind that norm let nothing pass. Null where nobody wants them
   */
  static Kernel backwardData(
      CudaContext context,
      Sizes s,
      Slice dy,
      MemorySegment w,
      Slice dx,
      CudaNorm.GradientSums sums) {
    boolean products = DepthwiseProducts.serve(context, s);
    Tiling tiling =
        products
            ? DepthwiseProducts.of(context, s, dy, dx, DepthwiseProducts.Kind.IMAGES)
            : s.stride() == 1
                ? Shape.gathering(context, s, "depthwise", dx.channels(), s.h(), s.w())
                : Shape.spreading(context, s, dx.channels());
    requireCountable(s.h(), s.w(), dx.stride());
    requireCountable(s.oh(), s.ow(), dy.stride());
    CudaArguments arguments =
        new CudaArguments().pointer(dy.memory()).pointer(w).pointer(dx.memory());
    if (products) {
      // They know what they read and what they write, the others a convolution's x and y.
      tiling.sizes(arguments, dy, dx);
    } else {
      tiling.sizes(arguments, dx, dy);
    }
    Work work =
        context
            .work(Family.DEPTHWISE_DATA)
            .readsImages(s.yElements(dy))
            .reads(s.weightBytes(dy))
            .writesImages(s.xElements(dx));
    if (sums == null) {
      return tiling.kernel(context, work.flops(tiling.flops(dy)), "_backward_data", arguments);
    }
    summed(context, s, tiling, dx, sums, arguments, work);
    return tiling.kernel(
        context,
        work.flops(tiling.flops(dy) + SUM_FLOPS * s.xElements(dx)),
        "_backward_data_sums",
        arguments);
  }

  /** What the sums of the gradient of the norm that takes dx need. */
  private static void summed(
      CudaContext context,
      Sizes s,
      Tiling tiling,
      Slice dx,
      CudaNorm.GradientSums sums,
      CudaArguments arguments,
      Work work) {
    CudaNorm.Numbers norm = sums.numbers();
    requireCountable(s.h(), s.w(), sums.channels());
    norm.after(arguments.pointer(sums.x()).i32(sums.channels()))
        .i32(norm.relu() ? 1 : 0)
        .pointer(context.scratch("partial", 8L * tiling.parts() * sums.channels()))
        .pointer(context.tickets(dx.channels()))
        .i64((long) s.n() * s.h() * s.w());
    sums.ends(arguments);
    // Of each sum a pair of threads loads 16 parts at once, a single one where blocks are narrow.
    work.readsImages(s.xElements(dx))
        .reads(16L * dx.channels() + 8L * dx.channels() * tiling.parts())
        .writes(16L * dx.channels() + 8L * dx.channels() * tiling.parts())
        .rounds(2 + Math.ceilDiv(tiling.parts(), tiling.threads() / 4));
  }

  /**
   * Both gradients of a convolution that reads its images through a norm, where {@link
   * DepthwiseProducts#serveBoth} says so.
   *
   * @param sums as in {@link #backwardData}
   * @param dw f32 [channels, 1, kernel, kernel]
   */
  static Kernel gradients(
      CudaContext context,
      Sizes s,
      Slice dy,
      MemorySegment w,
      Slice dx,
      CudaNorm.GradientSums sums,
      MemorySegment dw) {
    Tiling tiling = DepthwiseProducts.of(context, s, dy, dx, DepthwiseProducts.Kind.GRADIENTS);
    requireCountable(s.h(), s.w(), dx.stride());
    requireCountable(s.oh(), s.ow(), dy.stride());
    CudaArguments arguments =
        tiling.sizes(
            new CudaArguments().pointer(dy.memory()).pointer(w).pointer(dx.memory()), dy, dx);
    Work work =
        context
            .work(Family.DEPTHWISE_DATA)
            .readsImages(s.yElements(dy))
            .reads(s.weightBytes(dy))
            .writesImages(s.xElements(dx))
            .writes(s.weightBytes(dy));
    summed(context, s, tiling, dx, sums, arguments, work);
    Parts parts = Parts.of(context, s, tiling, dy, "weight parts");
    arguments.pointer(parts.partial()).pointer(parts.tickets()).pointer(dw);
    long flops = tiling.flops(dy) + (SUM_FLOPS + tiling.normFlops()) * s.xElements(dx);
    return tiling.kernel(context, parts.after(work).flops(flops), "", arguments);
  }

  /**
   * Parts of the gradient in the weights.
   *
   * @param partial takes them
   * @param tickets null where there is one part
   * @param count of all tiles of channels
   * @param bytes of one
   */
  private record Parts(MemorySegment partial, MemorySegment tickets, long count, long bytes) {
    static Parts of(CudaContext context, Sizes s, Tiling tiling, Slice x, String slot) {
      long count = (long) Math.ceilDiv(x.channels(), TILE_CHANNELS) * tiling.parts();
      long bytes = (long) Float.BYTES * s.kernel() * s.kernel() * TILE_CHANNELS;
      int levels = 0;
      for (long added = 1; added < tiling.parts(); added *= PARTS_AT_ONCE) {
        levels++;
      }
      return new Parts(
          context.scratch(slot, count * bytes),
          // Owned, as they must be zeros before the first launch and are so again after each.
          levels == 0 ? null : context.own(Integer.BYTES * count * levels),
          count,
          bytes);
    }

    Work after(Work work) {
      return work.parts(Math.toIntExact(count), bytes);
    }
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
    boolean products = DepthwiseProducts.serve(context, s);
    Tiling tiling =
        products
            ? DepthwiseProducts.of(context, s, x, dy, DepthwiseProducts.Kind.WEIGHTS)
            : Shape.gathering(context, s, "depthwise_weights", x.channels(), s.oh(), s.ow());
    Parts parts = Parts.of(context, s, tiling, x, "partial");
    CudaArguments arguments =
        new CudaArguments()
            .pointer(x.memory())
            .pointer(dy.memory())
            .pointer(parts.partial())
            .pointer(parts.tickets())
            .pointer(dw);
    Work work =
        context
            .work(Family.DEPTHWISE_WEIGHTS)
            .readsImages(s.xElements(x) + s.yElements(dy))
            .reads(normBytes(norm, x))
            .writes(s.weightBytes(x))
            .flops(tiling.flops(x) + (norm == null ? 0 : tiling.normFlops() * s.xElements(x)));
    requireCountable(s.h(), s.w(), x.stride());
    requireCountable(s.oh(), s.ow(), dy.stride());
    return tiling.kernel(
        context,
        parts.after(work),
        products ? "" : "_backward_weights",
        normed(tiling.sizes(arguments, x, dy), norm));
  }

  /**
   * Parts of the jobs, a block each for every tile of channels: as many blocks as the launch bounds
   * let run at once, all with about as many jobs.
   */
  static int parts(int jobs, int blocks, int tiles) {
    int most = Math.max(1, blocks / tiles);
    return Math.ceilDiv(jobs, Math.ceilDiv(jobs, most));
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
   * @param file of the kernels
   * @param threads of a block
   * @param down tiles of pixels above each other in an image
   * @param right tiles of pixels side by side in an image
   * @param jobs tiles of pixels
   * @param tiles of channels
   * @param parts into which the jobs are cut, a block each for every tile of channels
   */
  private record Shape(
      Sizes sizes, String file, int threads, int down, int right, int jobs, int tiles, int parts)
      implements Tiling {

    /** Each of h x w outputs looks at its inputs: tiles of 8x16 or, with stride 2, 8x8. */
    static Shape gathering(CudaContext context, Sizes s, String file, int channels, int h, int w) {
      return of(context, s, file, channels, h, w, 8, s.stride() == 1 ? 16 : 8);
    }

    /** Each pixel of dx looks at the pixels of dy that saw it: tiles of 16x16. */
    static Shape spreading(CudaContext context, Sizes s, int channels) {
      return of(context, s, "depthwise", channels, s.h(), s.w(), 16, 16);
    }

    private static Shape of(
        CudaContext context,
        Sizes s,
        String file,
        int channels,
        int h,
        int w,
        int tileRows,
        int tileColumns) {
      boolean narrow = w <= tileColumns / 2;
      int columns = narrow ? tileColumns / 2 : tileColumns;
      int threads = TILE_CHANNELS / 2 * (narrow ? PATCHES / 2 : PATCHES);
      int down = (h + tileRows - 1) / tileRows;
      int right = (w + columns - 1) / columns;
      int jobs = Math.toIntExact((long) s.n() * down * right);
      int tiles = (channels + TILE_CHANNELS - 1) / TILE_CHANNELS;
      int blocks = context.blocksAtOnce(s.kernel() == 3 ? 5 : 4);
      int parts = CudaDepthwise.parts(jobs, blocks, tiles);
      return new Shape(s, file, threads, down, right, jobs, tiles, parts);
    }

    @Override
    public long flops(Slice slice) {
      return sizes.flops(slice);
    }

    /** Half as often again what four multiply-adds take. */
    @Override
    public long normFlops() {
      return 12;
    }

    @Override
    public CudaArguments sizes(CudaArguments arguments, Slice x, Slice y) {
      return arguments
          .i32(jobs)
          .i32(down)
          .i32(right)
          .i32(x.channels())
          .i32(sizes.h())
          .i32(sizes.w())
          .i32(x.stride())
          .i32(sizes.oh())
          .i32(sizes.ow())
          .i32(y.stride());
    }

    @Override
    public Kernel kernel(CudaContext context, Work work, String what, CudaArguments arguments) {
      String name =
          String.format(
              Locale.ROOT,
              "depthwise_k%ds%d%s_%s",
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
