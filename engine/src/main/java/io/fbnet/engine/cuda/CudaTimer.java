package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.CudaEvent;
import io.fbnet.foreign.CudaGraph;
import io.fbnet.foreign.CudaStream;
import java.util.List;

/**
 * Times kernels between two events inside a replayed graph, so that neither Java nor the driver's
 * launch calls are part of the figure. A sample is the mean of several passes.
 */
final class CudaTimer implements AutoCloseable {
  /** Passes of one replay: enough to hide the events' own resolution of half a microsecond. */
  private static final int PASSES = 10;

  private final CudaBackend backend;
  private final CudaEvent start = CudaEvent.create(true);
  private final CudaEvent end = CudaEvent.create(true);
  private CudaGraph graph;

  CudaTimer(CudaBackend backend, List<Kernel> kernels) {
    this.backend = backend;
    CudaStream stream = backend.stream();
    try {
      // Once outside, so that libraries have set themselves up.
      kernels.forEach(Kernel::launch);
      backend.ranks().await(stream);
      graph =
          stream.capture(
              () -> {
                stream.recordExternally(start);
                for (int i = 0; i < PASSES; i++) {
                  kernels.forEach(Kernel::launch);
                }
                stream.recordExternally(end);
              });
      backend.ranks().hold(graph);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  double[] samples(int passes) {
    double[] samples = new double[Math.max(1, passes / PASSES)];
    for (int i = 0; i < samples.length; i++) {
      graph.launch(backend.stream());
      backend.ranks().await(backend.stream());
      samples[i] = end.millisecondsSince(start) / PASSES;
    }
    return samples;
  }

  @Override
  public void close() {
    if (graph != null) {
      backend.ranks().release(graph);
      backend.closing(graph);
    }
    backend.closing(start);
    backend.closing(end);
  }
}
