package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A cuBLASLt handle. */
@SuppressWarnings("restricted")
public final class CublasLt implements AutoCloseable {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "cuBLASLt",
          () -> Cuda.sonames("libcublasLt"),
          "",
          "install the CUDA toolkit 12 or 13 (libcublasLt), or Python's nvidia-cublas, and name its"
              + " folder in "
              + LibrarySearch.VARIABLE
              + " if it is not on the system's search path",
          () -> CublasLtRaw.BINDER,
          name -> versionOf());

  static final int ALLOC_FAILED = 3;

  final MemorySegment handle;
  private boolean closed;

  private CublasLt(MemorySegment handle) {
    this.handle = handle;
  }

  /** Whether cuBLASLt can be used here, with its version or the remedy. */
  public static Availability availability() {
    return LIBRARY.load();
  }

  /**
   * Opens a handle on the calling thread's device.
   *
   * @throws IllegalStateException where the library is missing
   */
  public static CublasLt open() {
    LIBRARY.require();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      // It writes a handle even where it fails: only the status counts.
      check((int) CublasLtRaw.CREATE.invokeExact(out), "cublasLtCreate");
      return new CublasLt(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static String versionOf() {
    try {
      return NativeLibrary.version((long) CublasLtRaw.VERSION.invokeExact());
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  static void check(int status, String function) {
    if (status != 0) {
      throw new ForeignException(function, status, name(status), "");
    }
  }

  private static String name(int status) {
    try {
      return NativeLibrary.text((MemorySegment) CublasLtRaw.STATUS_NAME.invokeExact(status));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        check((int) CublasLtRaw.DESTROY.invokeExact(handle), "cublasLtDestroy");
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
