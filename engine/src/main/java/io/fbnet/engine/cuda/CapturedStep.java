package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.CudaGraph;
import io.fbnet.foreign.ForeignException;
import java.util.List;
import java.util.Locale;

/**
 * A step as one graph. The first run launches every kernel by itself, since libraries load code and
 * set themselves up when first called, which a capture does not allow; the second captures; all
 * further ones replay.
 */
final class CapturedStep implements Kernel {
  private final CudaBackend backend;
  private final Kernel begin;
  private final List<Kernel> kernels;
  private boolean ran;
  private boolean refused;
  private CudaGraph graph;

  /**
   * Captures nothing yet.
   *
   * @param begin launched before the first run alone
   * @param kernels of every run
   */
  CapturedStep(CudaBackend backend, Kernel begin, List<Kernel> kernels) {
    this.backend = backend;
    this.begin = begin;
    this.kernels = List.copyOf(kernels);
  }

  @Override
  public void launch() {
    backend.guard(
        () -> {
          if (!ran) {
            begin.launch();
          }
          if (!ran || !backend.options().graphs()) {
            kernels.forEach(Kernel::launch);
            ran = true;
            return;
          }
          if (graph == null && !capture()) {
            kernels.forEach(Kernel::launch);
            return;
          }
          graph.launch(backend.stream());
        });
  }

  /** Captures the step; where the device refuses, says so once and goes on kernel by kernel. */
  private boolean capture() {
    if (refused) {
      return false;
    }
    try {
      graph = backend.stream().capture(() -> kernels.forEach(Kernel::launch));
      backend.ranks().hold(graph);
      return true;
    } catch (ForeignException e) {
      if (CudaDevice.isLost(e) || CudaDevice.isOutOfMemory(e)) {
        throw e;
      }
      refused = true;
      backend.note(
          String.format(
              Locale.ROOT,
              "a step could not be captured as a CUDA graph (%s), so its kernels are launched one"
                  + " by one, which is slower",
              e.getMessage()));
      return false;
    }
  }

  @Override
  public void close() {
    if (graph != null) {
      backend.ranks().release(graph);
      backend.closing(graph);
      graph = null;
    }
  }
}
