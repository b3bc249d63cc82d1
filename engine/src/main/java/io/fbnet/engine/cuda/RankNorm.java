package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * What batch norms over the images of all ranks exchange: moments of each channel, in double, and
 * on the way back the means that the gradient in x needs, in f32. All ranks have as many images, so
 * a mean over the ranks is one over all images.
 */
final class RankNorm {
  private static final String FILE = "rank_norm";

  private RankNorm() {}

  /** Whether a norm that may be over ranks has others to exchange with. */
  static boolean exchanges(CudaContext context, boolean overRanks) {
    return overRanks && context.backend.communicator().size() > 1;
  }

  /** The statistics of all ranks, by way of this rank's own. */
  static Kernel statistics(CudaContext context, CudaNorm.Pixels x, CudaNorm.Statistics to) {
    int c = x.channels();
    double pixels = (double) x.pixels() * context.backend.communicator().size();
    long bytes = 2L * c * Double.BYTES;
    MemorySegment moments = context.scratch("moments", bytes).asSlice(0, bytes);
    // As any norm's, with nothing added to the variance, so that nothing of it is lost.
    CudaNorm.Statistics own =
        new CudaNorm.Statistics(to.mean(), to.inverse(), null, null, null, 0, null, null, null);
    return CudaContext.sequence(
        CudaNorm.statistics(context, x, own),
        context.elements(
            context.work(Family.NORM_STATISTICS).reads(8L * c).writes(bytes).rounds(1),
            FILE,
            "rank_norm_moments",
            c,
            new CudaArguments().pointer(to.mean()).pointer(to.inverse()).pointer(moments).i32(c)),
        mean(context, moments, Double.BYTES),
        context.elements(
            context.work(Family.NORM_STATISTICS).reads(bytes).writes(16L * c).rounds(2),
            FILE,
            "rank_norm_statistics",
            c,
            new CudaArguments()
                .pointer(moments)
                .i32(c)
                .f32(pixels > 1 ? (float) (pixels / (pixels - 1)) : 1)
                .pointer(to.mean())
                .pointer(to.inverse())
                .pointer(to.runningMean())
                .pointer(to.runningVariance())
                .pointer(to.momentum())
                .f32(to.epsilon())));
  }

  /** The means of the gradient's sums over all ranks, in place of this rank's. */
  static Kernel means(CudaContext context, CudaNorm.GradientSums sums) {
    long bytes = 2L * sums.channels() * Float.BYTES;
    return mean(context, sums.means().asSlice(0, bytes), Float.BYTES);
  }

  private static Kernel mean(CudaContext context, MemorySegment memory, int elementBytes) {
    return new CudaRankMeans(context, List.of(memory), List.of(memory), elementBytes);
  }
}
