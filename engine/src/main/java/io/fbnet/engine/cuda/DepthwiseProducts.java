package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.cuda.CudaDepthwise.Sizes;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.foreign.CudaArguments;

/**
 * How depthwise convolutions run on tensor cores: tiles of eight strips, of 4 x 8 outputs each. The
 * shape of a tile follows the images': strips lie side by side, above each other and, where images
 * are narrow, in several images. As {@code depthwise_products.h} has it.
 *
 * @param sizes of the convolution
 * @param kind what they compute
 * @param across strips side by side in a tile, as a power of two
 * @param down strips above each other, likewise
 * @param images of a tile, likewise
 * @param jobs tiles of pixels
 * @param tiles of channels
 * @param parts into which the jobs are cut, a block each for every tile of channels
 */
record DepthwiseProducts(
    Sizes sizes, Kind kind, int across, int down, int images, int jobs, int tiles, int parts)
    implements CudaDepthwise.Tiling {
  private static final int STRIP_ROWS = 4;
  private static final int STRIP_COLUMNS = 8;

  /** The eight strips of a tile, as a power of two. */
  private static final int STRIPS = 3;

  private static final int TILE_CHANNELS = 32;
  private static final int THREADS = 128;

  /**
   * What an output takes a row of taps, all that is no product: loads, pairs of neighbouring
   * inputs, copies, stores. In operations that take as many instructions without tensor cores
   * (docs/decisions/017-depthwise-on-cuda.md).
   */
  private static final long FLOPS = 4;

  /** The same of the gradient in the weights, for all rows of taps. */
  private static final long WEIGHT_FLOPS = 12;

  /** What they compute. */
  enum Kind {
    /** The convolution, or the gradient in its images. */
    IMAGES("depthwise_products", 3, 2, 3),
    /** The gradient in the weights. */
    WEIGHTS("depthwise_weight_products", 2, 2, 1),
    /** Both gradients. */
    GRADIENTS("depthwise_gradient", 2, 1, 0);

    private final String file;

    /** Blocks that fit a multiprocessor, as the kernels' launch bounds have them. */
    private final int blocks;

    /** What of a tile fits a block's memory: at most so many strips side by side, as a power. */
    private final int across;

    /** So many images, likewise. */
    private final int images;

    Kind(String file, int blocks, int across, int images) {
      this.file = file;
      this.blocks = blocks;
      this.across = across;
      this.images = images;
    }
  }

  /** Whether they serve. */
  static boolean serve(CudaContext context, Sizes s) {
    return s.bf16() && s.stride() == 1 && context.backend.multipliesBf16();
  }

  /**
   * Whether they serve for both gradients at once: of narrow images most of a tile would lie beside
   * them, as it is of one image.
   */
  static boolean serveBoth(CudaContext context, Sizes s) {
    return serve(context, s) && s.w() > STRIP_COLUMNS && s.h() > 2 * STRIP_ROWS;
  }

  /** For a convolution of x to y, a gradient's of dy to dx, or one in the weights of x and dy. */
  static DepthwiseProducts of(CudaContext context, Sizes s, Slice x, Slice y, Kind kind) {
    int across = 0;
    while (across < kind.across && s.w() > STRIP_COLUMNS << across) {
      across++;
    }
    int down = 1;
    int most = kind == Kind.GRADIENTS ? 2 : STRIPS - across;
    while (down < most && s.h() > STRIP_ROWS << down) {
      down++;
    }
    int tiles = Math.ceilDiv(x.channels(), TILE_CHANNELS);
    // Fewer images where they are few, where there would be too few blocks, and where 32 bits do
    // not count the elements of a tile.
    int images = Math.min(STRIPS - across - down, kind.images);
    long image = (long) s.h() * s.w() * Math.max(x.stride(), y.stride());
    while (images > 0
        && (s.n() < 1 << images
            || (long) jobs(s, across, down, images) * tiles < context.multiprocessors()
            || image << images > Integer.MAX_VALUE)) {
      images--;
    }
    int jobs = jobs(s, across, down, images);
    int blocks = context.blocksAtOnce(kind.blocks);
    int parts = CudaDepthwise.parts(jobs, blocks, tiles);
    return new DepthwiseProducts(s, kind, across, down, images, jobs, tiles, parts);
  }

  private static int jobs(Sizes s, int across, int down, int images) {
    return Math.toIntExact(
        (long) Math.ceilDiv(s.n(), 1 << images)
            * Math.ceilDiv(s.h(), STRIP_ROWS << down)
            * Math.ceilDiv(s.w(), STRIP_COLUMNS << across));
  }

  @Override
  public int threads() {
    return THREADS;
  }

  @Override
  public long flops(Slice slice) {
    long each = kind == Kind.WEIGHTS ? 0 : FLOPS * sizes.kernel();
    return (each + (kind == Kind.IMAGES ? 0 : WEIGHT_FLOPS)) * sizes.yElements(slice);
  }

  /** 35 instructions for 16 bytes, where others take 60. */
  @Override
  public long normFlops() {
    return 7;
  }

  @Override
  public CudaArguments sizes(CudaArguments arguments, Slice x, Slice y) {
    return arguments
        .i32(jobs)
        .i32(Math.ceilDiv(sizes.h(), STRIP_ROWS << down))
        .i32(Math.ceilDiv(sizes.w(), STRIP_COLUMNS << across))
        .i32(sizes.n())
        .i32(across)
        .i32(down)
        .i32(images)
        .i32(x.channels())
        .i32(sizes.h())
        .i32(sizes.w())
        .i32(x.stride())
        .i32(y.stride());
  }

  @Override
  public Kernel kernel(CudaContext context, Work work, String what, CudaArguments arguments) {
    int[] grid = {tiles, parts, 1};
    // The bands; then each tile, of which the copies are all on their way at once.
    return context.kernel(
        work.rounds(1).over(jobs, parts),
        kind.file,
        kind.file + "_k" + sizes.kernel() + what,
        grid,
        new int[] {THREADS, 1, 1},
        arguments);
  }
}
