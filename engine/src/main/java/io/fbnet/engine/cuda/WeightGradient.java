package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.foreign.CublasLtMatmul;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;

/**
 * The gradient of 1x1 weights of which only some blocks are wanted: those of a grouped convolution,
 * or of several convolutions side by side. All of dy^T x is computed, for a product of a few dozen
 * rows and columns over many thousand pixels is bound by reading them; the pixels are cut into
 * parts, a product each in one batch, since of a batch cuBLASLt cuts no sum itself and a block or
 * two would do everything. The parts are added in order.
 */
final class WeightGradient {
  /** Rows and columns of the tiles that cuBLASLt takes for narrow products. */
  private static final int TILE = 64;

  private static final int LEAST_PIXELS = 128;
  private static final int MOST_PARTS = 128;
  private static final long BLOCKS_PER_MULTIPROCESSOR = 2;

  /** Elements that {@code gather_parts} takes as one run. */
  private static final int LONGEST_RUN = 32;

  private WeightGradient() {}

  /** An empty table for {@link #of}: places are row times columns plus column. */
  static CudaRuns runs() {
    return new CudaRuns(LONGEST_RUN);
  }

  /**
   * The gradient.
   *
   * @param dy pixels by rows of the gradient
   * @param x pixels by columns of the gradient
   * @param runs which elements of the gradient go where
   */
  static Kernel of(CudaContext context, Family family, Operand dy, Operand x, CudaRuns runs) {
    long pixels = x.rows();
    long results = dy.columns() * x.columns();
    long tiles = tiles(dy.columns()) * tiles(x.columns());
    long wanted =
        Math.clamp(
            BLOCKS_PER_MULTIPROCESSOR * context.multiprocessors() / tiles,
            1,
            Math.clamp(pixels / LEAST_PIXELS, 1, MOST_PARTS));
    int parts = parts(pixels, wanted);
    long part = pixels / parts;
    long rest = pixels - part * parts;
    int slots = parts + (rest > 0 ? 1 : 0);
    MemorySegment partial = context.scratch("partial", Float.BYTES * results * slots);
    Kernel all = product(context, family, dy, x, 0, part, partial, 0, parts);
    Kernel last =
        rest == 0 ? null : product(context, family, dy, x, part * parts, rest, partial, parts, 1);
    return CudaContext.sequence(all, last, gather(context, partial, slots, results, runs));
  }

  /**
   * Adds parts.
   *
   * @param partial the parts
   * @param parts how many
   * @param stride elements from one to the next
   * @param runs which elements of their sum go where
   */
  static Kernel gather(
      CudaContext context, MemorySegment partial, int parts, long stride, CudaRuns runs) {
    long runsOfBlock = parts < 8 ? 8 : 1;
    return context.elements(
        context
            .work(Family.WEIGHTS_END)
            .reads((long) Float.BYTES * parts * runs.elements() + CudaRuns.BYTES * runs.count())
            .writes(Float.BYTES * runs.elements())
            .rounds(parts < 8 ? parts : (parts + 63) / 64),
        "runs",
        "gather_parts",
        CudaContext.BLOCK * ((runs.count() + runsOfBlock - 1) / runsOfBlock),
        new CudaArguments()
            .pointer(partial)
            .i32(parts)
            .i64(stride)
            .pointer(runs.upload(context))
            .i32(runs.count()));
  }

  private static long tiles(long n) {
    return (n + TILE - 1) / TILE;
  }

  /** As many equal parts as wanted, or a few less where that leaves no rest. */
  private static int parts(long pixels, long wanted) {
    for (long parts = wanted; parts > wanted / 2; parts--) {
      if (pixels % parts == 0) {
        return (int) parts;
      }
    }
    return (int) wanted;
  }

  private static Kernel product(
      CudaContext context,
      Family family,
      Operand dy,
      Operand x,
      long first,
      long pixels,
      MemorySegment partial,
      int slot,
      int count) {
    long results = dy.columns() * x.columns();
    Operand d =
        new Operand(
            partial.asSlice(slot * results * Float.BYTES),
            CublasLtMatmul.Type.F32,
            dy.columns(),
            x.columns(),
            x.columns(),
            results);
    return CudaProduct.of(
        context, family, dy.part(first, pixels), true, x.part(first, pixels), false, d, count);
  }
}
