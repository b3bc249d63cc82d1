package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** A cuDNN handle on one stream. */
@SuppressWarnings("restricted")
public final class Cudnn implements AutoCloseable {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "cuDNN",
          () -> List.of("libcudnn.so.9"),
          "",
          "install cuDNN 9 (from NVIDIA, or Python's nvidia-cudnn-cu13), and name its folder in "
              + LibrarySearch.VARIABLE
              + " if it is not on the system's search path",
          () -> CudnnRaw.BINDER,
          name -> versionOf());

  static final int HOST_ALLOCATION_FAILED = 4003;
  static final int DEVICE_ALLOCATION_FAILED = 4004;

  final MemorySegment handle;
  private boolean closed;

  private Cudnn(MemorySegment handle) {
    this.handle = handle;
  }

  /** Whether cuDNN can be used here, with its version or the remedy. */
  public static Availability availability() {
    return LIBRARY.load();
  }

  /**
   * Opens a handle on the calling thread's device.
   *
   * @throws IllegalStateException where the library is missing
   */
  public static Cudnn open(CudaStream stream) {
    LIBRARY.require();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      // Where it fails, cuDNN may still have written a handle: only the status counts.
      check((int) CudnnRaw.CREATE.invokeExact(out), "cudnnCreate");
      MemorySegment handle = out.get(ADDRESS, 0);
      check((int) CudnnRaw.SET_STREAM.invokeExact(handle, stream.handle), "cudnnSetStream");
      return new Cudnn(handle);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static String versionOf() {
    try {
      return NativeLibrary.version((long) CudnnRaw.VERSION.invokeExact());
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  static void check(int status, String function) {
    if (status != 0) {
      throw new ForeignException(function, status, text(status), "");
    }
  }

  private static String text(int status) {
    try {
      return NativeLibrary.text((MemorySegment) CudnnRaw.ERROR_STRING.invokeExact(status));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        check((int) CudnnRaw.DESTROY.invokeExact(handle), "cudnnDestroy");
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
