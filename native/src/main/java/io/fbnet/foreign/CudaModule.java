package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/** Compiled kernels, loaded on the calling thread's device. */
@SuppressWarnings("restricted")
public final class CudaModule implements AutoCloseable {
  static final int REGISTERS = 4;
  static final int LOCAL_BYTES = 3;

  private final MemorySegment handle;
  private final Map<String, CudaFunction> functions = new HashMap<>();
  private boolean closed;

  private CudaModule(MemorySegment handle) {
    this.handle = handle;
  }

  /**
   * Loads a fatbin, a cubin, or PTX as text.
   *
   * @throws ForeignException with {@link #isForAnotherDevice} where the image has no code for this
   *     device and driver
   */
  public static CudaModule load(byte[] image) {
    try (Arena arena = Arena.ofConfined()) {
      // The driver reads text up to its end.
      MemorySegment copy = arena.allocate(image.length + 1L, 64);
      MemorySegment.copy(image, 0, copy, JAVA_BYTE, 0, image.length);
      MemorySegment out = arena.allocate(ADDRESS);
      Cuda.check((int) CudaRaw.MODULE_LOAD.invokeExact(out, copy), "cuModuleLoadData");
      return new CudaModule(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Whether a failure to load says that the image does not fit this device or driver. */
  public static boolean isForAnotherDevice(ForeignException e) {
    return switch (e.code()) {
      case Cuda.INVALID_IMAGE,
          Cuda.NO_BINARY_FOR_GPU,
          Cuda.INVALID_PTX,
          Cuda.UNSUPPORTED_PTX_VERSION ->
          true;
      default -> false;
    };
  }

  /** A kernel by name. */
  public CudaFunction function(String name) {
    return functions.computeIfAbsent(name, this::find);
  }

  private CudaFunction find(String name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      MemorySegment text = arena.allocateFrom(name);
      int status = (int) CudaRaw.MODULE_FUNCTION.invokeExact(out, handle, text);
      if (status != Cuda.SUCCESS) {
        throw Cuda.failure(status, "cuModuleGetFunction", name);
      }
      return new CudaFunction(name, out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Cuda.destroy(CudaRaw.MODULE_UNLOAD, handle, "cuModuleUnload");
    }
  }
}
