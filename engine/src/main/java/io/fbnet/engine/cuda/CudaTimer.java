package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.foreign.CudaEvent;
import io.fbnet.foreign.CudaGraph;
import io.fbnet.foreign.CudaStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Times kernels between two events inside a replayed graph, so that neither Java nor the driver's
 * launch calls are part of the figure. A sample is the mean of several passes, but never of more
 * than were asked for: the first after something else finds other things in the caches.
 */
final class CudaTimer implements AutoCloseable {
  /** Passes of one replay: enough to hide the events' own resolution of half a microsecond. */
  private static final int MOST_PASSES = 10;

  private final CudaBackend backend;
  private final List<Kernel> kernels;
  private final CudaEvent start = CudaEvent.create(true);
  private final CudaEvent end = CudaEvent.create(true);

  /** By the passes of a replay. */
  private final Map<Integer, CudaGraph> graphs = new HashMap<>();

  CudaTimer(CudaBackend backend, List<Kernel> kernels) {
    this.backend = backend;
    this.kernels = kernels;
    try {
      // Once outside, so that libraries have set themselves up.
      kernels.forEach(Kernel::launch);
      backend.ranks().await(backend.stream());
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private CudaGraph capture(int passes) {
    CudaStream stream = backend.stream();
    CudaGraph graph =
        stream.capture(
            () -> {
              stream.recordExternally(start);
              for (int i = 0; i < passes; i++) {
                kernels.forEach(Kernel::launch);
              }
              stream.recordExternally(end);
            });
    backend.ranks().hold(graph);
    return graph;
  }

  double[] samples(int passes) {
    int each = Math.min(passes, MOST_PASSES);
    CudaGraph graph = graphs.computeIfAbsent(each, this::capture);
    double[] samples = new double[passes / each];
    for (int i = 0; i < samples.length; i++) {
      graph.launch(backend.stream());
      backend.ranks().await(backend.stream());
      samples[i] = end.millisecondsSince(start) / each;
    }
    return samples;
  }

  @Override
  public void close() {
    for (CudaGraph graph : graphs.values()) {
      backend.ranks().release(graph);
      backend.closing(graph);
    }
    backend.closing(start);
    backend.closing(end);
  }
}
