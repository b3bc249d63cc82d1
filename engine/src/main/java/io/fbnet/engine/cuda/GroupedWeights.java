package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;

/**
 * The gradient of a grouped 1x1 convolution's weights by a kernel of ours, which computes the
 * groups' own products alone. In bf16, where {@link #serves}.
 */
final class GroupedWeights {
  private static final String FILE = "grouped_weights";

  // As grouped_weights.cu has them.
  private static final int STAGES = 3;
  private static final int STAGE = 6144;
  private static final int UNIT = 32;
  private static final int UNITS = 8;
  private static final int PARTS_AT_ONCE = 32;
  private static final int LEAST_PIXELS = 16;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 2;

  /** Pixels of a tile: more are no quicker. */
  private static final int MOST_PIXELS = 128;

  private GroupedWeights() {}

  /**
   * Whether our kernel serves: all outputs by all inputs of a group fit the registers of a block,
   * and some pixels of all channels a stage of its ring.
   */
  static boolean serves(CudaContext context, int inputs, int outputs, int groups) {
    int units = groups * Math.ceilDiv(outputs / groups, UNIT) * Math.ceilDiv(inputs / groups, UNIT);
    return context.bf16
        && groups > 1
        && units <= UNITS
        && LEAST_PIXELS * (inputs + outputs) <= STAGE
        && context.backend.multipliesBf16();
  }

  /**
   * The gradient.
   *
   * @param x bf16 [pixels, inputs]
   * @param dy bf16 [pixels, outputs]
   * @param dw f32 [outputs, inputs / groups]
   */
  static Kernel of(
      CudaContext context,
      MemorySegment x,
      MemorySegment dy,
      MemorySegment dw,
      long pixels,
      int inputs,
      int outputs,
      int groups) {
    int tile = MOST_PIXELS;
    while (tile * (inputs + outputs) > STAGE) {
      tile /= 2;
    }
    long jobs = Math.ceilDiv(pixels, tile);
    long most = Math.min(jobs, context.blocksAtOnce(BLOCKS_PER_MULTIPROCESSOR));
    int parts = Math.toIntExact(Math.ceilDiv(jobs, Math.ceilDiv(jobs, most)));
    int levels = 0;
    for (long added = 1; added < parts; added *= PARTS_AT_ONCE) {
      levels++;
    }
    long sums = (long) outputs * (inputs / groups);
    Work work =
        context
            .work(Family.OWN_GROUPED_WEIGHTS)
            .readsImages(pixels * (inputs + outputs))
            .writes(Float.BYTES * sums)
            .flops(2 * pixels * sums)
            // Two tiles are on their way at once. Of a level the ticket, then all its parts at
            // once.
            .rounds(Math.ceilDiv(Math.ceilDiv(jobs, parts), STAGES - 1))
            .rounds(2L * levels);
    if (levels > 0) {
      work.reads(Float.BYTES * sums * parts).writes(Float.BYTES * sums * parts);
    }
    CudaArguments arguments =
        new CudaArguments()
            .pointer(x)
            .pointer(dy)
            .pointer(levels == 0 ? null : context.scratch("partial", Float.BYTES * sums * parts))
            // Owned, as they must be zeros before the first launch and are so again after each.
            .pointer(levels == 0 ? null : context.own((long) Integer.BYTES * parts * levels))
            .pointer(dw)
            .i64(pixels)
            .i32(inputs)
            .i32(outputs)
            .i32(groups)
            .i32(tile);
    return context.kernel(
        work, FILE, FILE, new int[] {parts, 1, 1}, CudaContext.THREADS, arguments);
  }
}
