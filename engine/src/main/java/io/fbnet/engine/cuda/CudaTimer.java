package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.CudaEvent;
import io.fbnet.foreign.CudaGraph;
import java.util.List;

/**
 * Times kernels between two events inside a replayed graph, so that neither Java nor the driver's
 * launch calls are part of the figure. A sample is the mean of several passes.
 */
final class CudaTimer implements AutoCloseable {
  /** Passes of one replay: enough to hide the events' own resolution of half a microsecond. */
  private static final int PASSES = 10;

  private final CudaBackend backend;
  private final CudaEvent start;
  private final CudaEvent end;
  private final CudaGraph graph;

  CudaTimer(CudaBackend backend, List<Kernel> kernels) {
    this.backend = backend;
    // Once outside, so that libraries have set themselves up.
    kernels.forEach(Kernel::launch);
    backend.stream().synchronise();
    start = CudaEvent.create(true);
    end = CudaEvent.create(true);
    graph =
        backend.stream()
            .capture(
                () -> {
                  backend.stream().recordExternally(start);
                  for (int i = 0; i < PASSES; i++) {
                    kernels.forEach(Kernel::launch);
                  }
                  backend.stream().recordExternally(end);
                });
  }

  double[] samples(int passes) {
    double[] samples = new double[Math.max(1, passes / PASSES)];
    for (int i = 0; i < samples.length; i++) {
      graph.launch(backend.stream());
      backend.stream().synchronise();
      samples[i] = end.millisecondsSince(start) / PASSES;
    }
    return samples;
  }

  @Override
  public void close() {
    backend.closing(
        () -> {
          graph.close();
          start.close();
          end.close();
        });
  }
}
