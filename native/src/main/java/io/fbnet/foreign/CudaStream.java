package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A stream: what is enqueued on it runs in order, beside other streams. Host memory of a copy must
 * stay untouched until the copy has run.
 */
@SuppressWarnings("restricted")
public final class CudaStream implements AutoCloseable {
  static final int NON_BLOCKING = 1;
  static final int CAPTURE_THREAD_LOCAL = 1;
  static final int RECORD_EXTERNAL = 1;

  final MemorySegment handle;
  private boolean closed;

  private CudaStream(MemorySegment handle) {
    this.handle = handle;
  }

  /** A stream of the calling thread's device that does not wait for the default stream. */
  public static CudaStream create() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      Cuda.check((int) CudaRaw.STREAM_CREATE.invokeExact(out, NON_BLOCKING), "cuStreamCreate");
      return new CudaStream(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Copies host memory to the device. */
  public void copyToDevice(MemorySegment device, MemorySegment host, long bytes) {
    try {
      Cuda.check(
          (int) CudaRaw.COPY_TO_DEVICE.invokeExact(device.address(), host, bytes, handle),
          "cuMemcpyHtoDAsync_v2");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Copies device memory to the host. */
  public void copyToHost(MemorySegment host, MemorySegment device, long bytes) {
    try {
      Cuda.check(
          (int) CudaRaw.COPY_TO_HOST.invokeExact(host, device.address(), bytes, handle),
          "cuMemcpyDtoHAsync_v2");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Copies within the device. */
  public void copyOnDevice(MemorySegment to, MemorySegment from, long bytes) {
    try {
      Cuda.check(
          (int) CudaRaw.COPY_ON_DEVICE.invokeExact(to.address(), from.address(), bytes, handle),
          "cuMemcpyDtoDAsync_v2");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Fills device memory with a byte. */
  public void fill(MemorySegment device, byte value) {
    try {
      Cuda.check(
          (int) CudaRaw.MEMORY_SET.invokeExact(device.address(), value, device.byteSize(), handle),
          "cuMemsetD8Async");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Makes what is enqueued from now on wait for an event. */
  public void waitFor(CudaEvent event) {
    try {
      Cuda.check(
          (int) CudaRaw.STREAM_WAIT.invokeExact(handle, event.handle, 0), "cuStreamWaitEvent");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Records an event. */
  public void record(CudaEvent event) {
    try {
      Cuda.check((int) CudaRaw.EVENT_RECORD.invokeExact(event.handle, handle), "cuEventRecord");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Records an event that stays visible outside when this stream is being captured. */
  public void recordExternally(CudaEvent event) {
    try {
      Cuda.check(
          (int) CudaRaw.EVENT_RECORD_FLAGS.invokeExact(event.handle, handle, RECORD_EXTERNAL),
          "cuEventRecordWithFlags");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Captures what {@code work} enqueues on this stream instead of running it.
   *
   * @return the graph, ready to be launched again and again
   */
  public CudaGraph capture(Runnable work) {
    try {
      Cuda.check(
          (int) CudaRaw.STREAM_BEGIN_CAPTURE.invokeExact(handle, CAPTURE_THREAD_LOCAL),
          "cuStreamBeginCapture_v2");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
    try {
      work.run();
    } catch (RuntimeException | Error e) {
      // The capture must end whatever happens, or the stream stays unusable.
      try {
        endCapture().close();
      } catch (ForeignException invalidated) {
        e.addSuppressed(invalidated);
      }
      throw e;
    }
    return endCapture();
  }

  private CudaGraph endCapture() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      Cuda.check((int) CudaRaw.STREAM_END_CAPTURE.invokeExact(handle, out), "cuStreamEndCapture");
      return CudaGraph.instantiate(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Whether everything enqueued has run; does not wait. */
  public boolean isDone() {
    try {
      return Cuda.done((int) CudaRaw.STREAM_QUERY.invokeExact(handle), "cuStreamQuery");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Returns when everything enqueued has run. */
  public void synchronise() {
    try {
      Cuda.check((int) CudaRaw.STREAM_SYNCHRONISE.invokeExact(handle), "cuStreamSynchronize");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Cuda.destroy(CudaRaw.STREAM_DESTROY, handle, "cuStreamDestroy_v2");
    }
  }
}
