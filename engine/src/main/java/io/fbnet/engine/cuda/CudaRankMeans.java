package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/**
 * Means over ranks by way of the host: the device waits meanwhile, and the step is captured in the
 * parts before and behind it.
 */
final class CudaRankMeans implements Kernel {
  private final CudaBackend backend;
  private final Communicator ranks;
  private final List<MemorySegment> xs;
  private final List<MemorySegment> ys;
  private final MemorySegment host;

  CudaRankMeans(CudaContext context, Op.MeanOverRanks means, Function<Value, MemorySegment> m) {
    backend = context.backend;
    ranks = backend.communicator();
    xs = means.xs().stream().map(m).toList();
    ys = means.ys().stream().map(m).toList();
    long bytes = xs.stream().mapToLong(MemorySegment::byteSize).sum();
    host = ranks.size() == 1 ? null : backend.allocatePinned(Math.max(1, bytes)).asSlice(0, bytes);
  }

  @Override
  public boolean needsHost() {
    return host != null;
  }

  @Override
  public void launch() {
    if (host == null) {
      for (int i = 0; i < xs.size(); i++) {
        if (xs.get(i).address() != ys.get(i).address()) {
          backend.stream().copyOnDevice(ys.get(i), xs.get(i), xs.get(i).byteSize());
        }
      }
      return;
    }
    long at = 0;
    for (MemorySegment x : xs) {
      backend.stream().copyToHost(host.asSlice(at, x.byteSize()), x, x.byteSize());
      at += x.byteSize();
    }
    backend.stream().synchronise();
    ranks.mean(host, Float.BYTES);
    at = 0;
    for (MemorySegment y : ys) {
      backend.stream().copyToDevice(y, host.asSlice(at, y.byteSize()), y.byteSize());
      at += y.byteSize();
    }
  }

  @Override
  public void close() {
    if (host != null) {
      backend.closing(() -> backend.cudaDevice().freePinned(host));
    }
  }
}
