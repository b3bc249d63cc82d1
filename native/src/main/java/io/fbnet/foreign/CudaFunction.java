package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Locale;

/** A kernel of a loaded module. */
@SuppressWarnings("restricted")
public final class CudaFunction {
  final MemorySegment handle;
  private final String name;
  private boolean checked;

  CudaFunction(String name, MemorySegment handle) {
    this.name = name;
    this.handle = handle;
  }

  /** Its name. */
  public String name() {
    return name;
  }

  /** Registers a thread. */
  public int registers() {
    return attribute(CudaModule.REGISTERS);
  }

  /** Bytes of local memory a thread: what spilled from registers, or arrays indexed at run time. */
  public int localBytes() {
    return attribute(CudaModule.LOCAL_BYTES);
  }

  private int attribute(int attribute) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      Cuda.check(
          (int) CudaRaw.FUNCTION_ATTRIBUTE.invokeExact(out, attribute, handle),
          "cuFuncGetAttribute");
      return out.get(JAVA_INT, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Packs arguments for launches of one shape; a launch then allocates nothing. The first call for
   * a kernel compares the packing with what the driver says of its parameters.
   *
   * @param grid blocks, three dimensions
   * @param block threads of a block, three dimensions
   * @param sharedBytes dynamic shared memory
   * @throws IllegalArgumentException where the arguments do not fit the kernel's parameters
   */
  public CudaLaunch prepare(int[] grid, int[] block, int sharedBytes, CudaArguments arguments) {
    if (!checked) {
      check(arguments);
      checked = true;
    }
    return new CudaLaunch(this, grid, block, sharedBytes, arguments);
  }

  private void check(CudaArguments arguments) {
    if (!CudaRaw.BINDER.has("cuFuncGetParamInfo")) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment offset = arena.allocate(JAVA_LONG);
      MemorySegment size = arena.allocate(JAVA_LONG);
      long at = 0;
      for (int i = 0; i < arguments.count(); i++) {
        int status = (int) CudaRaw.FUNCTION_PARAMETER.invokeExact(handle, (long) i, offset, size);
        if (status == Cuda.INVALID_VALUE) {
          throw new IllegalArgumentException(
              String.format(
                  Locale.ROOT,
                  "kernel %s takes %d parameters, not %d",
                  name,
                  i,
                  arguments.count()));
        }
        Cuda.check(status, "cuFuncGetParamInfo");
        long alignment = arguments.alignment(i);
        at = (at + alignment - 1) / alignment * alignment;
        if (offset.get(JAVA_LONG, 0) != at || size.get(JAVA_LONG, 0) != arguments.bytes(i)) {
          throw new IllegalArgumentException(
              String.format(
                  Locale.ROOT,
                  "parameter %d of kernel %s has %d bytes at offset %d, but the argument has %d at"
                      + " %d",
                  i,
                  name,
                  size.get(JAVA_LONG, 0),
                  offset.get(JAVA_LONG, 0),
                  arguments.bytes(i),
                  at));
        }
        at += arguments.bytes(i);
      }
      int more =
          (int)
              CudaRaw.FUNCTION_PARAMETER.invokeExact(
                  handle, (long) arguments.count(), offset, size);
      if (more == Cuda.SUCCESS) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT, "kernel %s takes more than %d parameters", name, arguments.count()));
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  void launch(CudaStream stream, int[] grid, int[] block, int shared, MemorySegment parameters) {
    try {
      int status =
          (int)
              CudaRaw.LAUNCH.invokeExact(
                  handle,
                  grid[0],
                  grid[1],
                  grid[2],
                  block[0],
                  block[1],
                  block[2],
                  shared,
                  stream.handle,
                  parameters,
                  MemorySegment.NULL);
      if (status != Cuda.SUCCESS) {
        throw Cuda.failure(status, "cuLaunchKernel", name);
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  static MemorySegment pointers(Arena arena, int count) {
    return arena.allocate(ADDRESS, Math.max(1, count));
  }
}
