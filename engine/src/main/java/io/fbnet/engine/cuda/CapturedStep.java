package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.CudaGraph;
import java.util.List;

/**
 * A step as one graph. The first run launches every kernel by itself, since libraries load code and
 * set themselves up when first called, which a capture does not allow; the second captures; all
 * further ones replay.
 */
final class CapturedStep implements Kernel {
  private final CudaBackend backend;
  private final List<Kernel> kernels;
  private boolean ran;
  private CudaGraph graph;

  CapturedStep(CudaBackend backend, List<Kernel> kernels) {
    this.backend = backend;
    this.kernels = List.copyOf(kernels);
  }

  @Override
  public void launch() {
    backend.guard(
        () -> {
          if (!ran || !backend.options().graphs()) {
            kernels.forEach(Kernel::launch);
            ran = true;
            return;
          }
          if (graph == null) {
            graph = backend.stream().capture(() -> kernels.forEach(Kernel::launch));
          }
          graph.launch(backend.stream());
        });
  }

  @Override
  public void close() {
    if (graph != null) {
      backend.closing(graph::close);
      graph = null;
    }
  }
}
