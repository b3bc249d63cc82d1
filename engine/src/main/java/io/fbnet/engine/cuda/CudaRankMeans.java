package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/**
 * Means over ranks: on the device's stream where ranks exchange by NCCL, so that a step is captured
 * whole. Otherwise by way of the host: the device waits meanwhile, and the step is captured in the
 * parts before and behind it.
 */
final class CudaRankMeans implements Kernel {
  private final CudaBackend backend;
  private final Communicator communicator;
  private final int elementBytes;
  private final List<MemorySegment> xs;
  private final List<MemorySegment> ys;

  /** Whether it runs beside what follows, up to the next that does not. */
  private final boolean early;

  /** Where they pass the host; null where they do not. */
  private final MemorySegment host;

  CudaRankMeans(CudaContext context, Op.MeanOverRanks means, Function<Value, MemorySegment> m) {
    this(
        context,
        means.xs().stream().map(m).toList(),
        means.ys().stream().map(m).toList(),
        Float.BYTES);
  }

  /**
   * Parts of gradients, which change in place.
   *
   * @param early whether they are exchanged beside what follows
   */
  static CudaRankMeans parts(CudaContext context, List<MemorySegment> parts, boolean early) {
    return new CudaRankMeans(context, parts, parts, Float.BYTES, early);
  }

  /**
   * Of memory of the device.
   *
   * @param ys of the sizes of xs; the xs themselves where they change in place
   * @param elementBytes 4 or 8
   */
  CudaRankMeans(
      CudaContext context, List<MemorySegment> xs, List<MemorySegment> ys, int elementBytes) {
    this(context, xs, ys, elementBytes, false);
  }

  private CudaRankMeans(
      CudaContext context,
      List<MemorySegment> xs,
      List<MemorySegment> ys,
      int elementBytes,
      boolean early) {
    this.early = early;
    backend = context.backend;
    communicator = backend.communicator();
    this.xs = xs;
    this.ys = ys;
    this.elementBytes = elementBytes;
    long bytes = xs.stream().mapToLong(MemorySegment::byteSize).sum();
    boolean onDevice = communicator.size() == 1 || backend.ranks().onDevice();
    host = onDevice ? null : backend.allocatePinned(Math.max(1, bytes)).asSlice(0, bytes);
  }

  @Override
  public boolean needsHost() {
    return host != null;
  }

  @Override
  public void launch() {
    if (early) {
      backend.ranks().meanBeside(backend.stream(), xs);
    } else if (backend.ranks().onDevice()) {
      backend.ranks().mean(backend.stream(), xs, ys, elementBytes);
    } else if (host == null) {
      for (int i = 0; i < xs.size(); i++) {
        if (xs.get(i).address() != ys.get(i).address()) {
          backend.stream().copyOnDevice(ys.get(i), xs.get(i), xs.get(i).byteSize());
        }
      }
    } else {
      throughHost();
    }
  }

  private void throughHost() {
    long at = 0;
    for (MemorySegment x : xs) {
      backend.stream().copyToHost(host.asSlice(at, x.byteSize()), x, x.byteSize());
      at += x.byteSize();
    }
    backend.stream().synchronise();
    communicator.mean(host, elementBytes);
    at = 0;
    for (MemorySegment y : ys) {
      backend.stream().copyToDevice(y, host.asSlice(at, y.byteSize()), y.byteSize());
      at += y.byteSize();
    }
  }

  @Override
  public void close() {
    if (host != null) {
      // The last copy from it may not have run yet.
      backend.closing(() -> backend.ranks().settle(backend.stream()));
      backend.closing(() -> backend.cudaDevice().freePinned(host));
    }
  }
}
