package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A captured piece of work that one call launches. */
@SuppressWarnings("restricted")
public final class CudaGraph implements AutoCloseable {
  private final MemorySegment handle;
  private boolean closed;

  private CudaGraph(MemorySegment handle) {
    this.handle = handle;
  }

  /** Makes a captured graph executable, and gives the captured form back to the driver. */
  static CudaGraph instantiate(MemorySegment captured) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      int status = (int) CudaRaw.GRAPH_INSTANTIATE.invokeExact(out, captured, 0L);
      Cuda.check((int) CudaRaw.GRAPH_DESTROY.invokeExact(captured), "cuGraphDestroy");
      Cuda.check(status, "cuGraphInstantiateWithFlags");
      return new CudaGraph(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Enqueues the work. */
  public void launch(CudaStream stream) {
    try {
      Cuda.check((int) CudaRaw.GRAPH_LAUNCH.invokeExact(handle, stream.handle), "cuGraphLaunch");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Cuda.destroy(CudaRaw.GRAPH_EXEC_DESTROY, handle, "cuGraphExecDestroy");
    }
  }
}
