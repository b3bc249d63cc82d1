package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A point in a stream that can be waited for, or timed. */
@SuppressWarnings("restricted")
public final class CudaEvent implements AutoCloseable {
  static final int DEFAULT = 0;
  static final int BLOCKING_SYNC = 1;
  static final int DISABLE_TIMING = 2;

  final MemorySegment handle;
  private boolean closed;

  private CudaEvent(MemorySegment handle) {
    this.handle = handle;
  }

  /** An event. One that is not for timing costs less, and a thread that waits for it sleeps. */
  public static CudaEvent create(boolean timing) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      Cuda.check(
          (int)
              CudaRaw.EVENT_CREATE.invokeExact(
                  out, timing ? DEFAULT : BLOCKING_SYNC | DISABLE_TIMING),
          "cuEventCreate");
      return new CudaEvent(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Whether the stream has passed it, or it was never recorded; does not wait. */
  public boolean isDone() {
    try {
      return Cuda.done((int) CudaRaw.EVENT_QUERY.invokeExact(handle), "cuEventQuery");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Returns when the stream has passed it; at once where it was never recorded. */
  public void synchronise() {
    try {
      Cuda.check((int) CudaRaw.EVENT_SYNCHRONISE.invokeExact(handle), "cuEventSynchronize");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Milliseconds from another event to this one; both must have been passed. */
  public double millisecondsSince(CudaEvent start) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_FLOAT);
      Cuda.check(
          (int) CudaRaw.EVENT_ELAPSED.invokeExact(out, start.handle, handle), "cuEventElapsedTime");
      return out.get(JAVA_FLOAT, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Cuda.destroy(CudaRaw.EVENT_DESTROY, handle, "cuEventDestroy_v2");
    }
  }
}
