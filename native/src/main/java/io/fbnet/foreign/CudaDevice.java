package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A CUDA device with its primary context current on the thread that opened it. That thread alone
 * uses it.
 */
@SuppressWarnings("restricted")
public final class CudaDevice implements AutoCloseable {
  /** Attributes of a device, numbered as in {@code CUdevice_attribute}. */
  public enum Attribute {
    MAX_SHARED_MEMORY_PER_BLOCK(8),
    MULTIPROCESSOR_COUNT(16),
    PCI_BUS_ID(33),
    PCI_DEVICE_ID(34),
    PCI_DOMAIN_ID(50),
    COMPUTE_CAPABILITY_MAJOR(75),
    COMPUTE_CAPABILITY_MINOR(76);

    final int code;

    Attribute(int code) {
      this.code = code;
    }
  }

  static final int HOST_PORTABLE = 1;

  private final int ordinal;
  private final int handle;
  private final MemorySegment context;
  private final String name;
  private boolean closed;

  private CudaDevice(int ordinal, int handle, MemorySegment context, String name) {
    this.ordinal = ordinal;
    this.handle = handle;
    this.context = context;
    this.name = name;
  }

  /**
   * How many devices there are; 0 also where the driver has none to offer.
   *
   * @throws IllegalStateException where {@link Cuda#availability()} says that the driver is missing
   */
  public static int count() {
    if (!Cuda.initialise()) {
      return 0;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      Cuda.check((int) CudaRaw.DEVICE_COUNT.invokeExact(out), "cuDeviceGetCount");
      return out.get(JAVA_INT, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Opens a device.
   *
   * @throws IllegalStateException where the driver is missing
   * @throws ForeignException where there is no such device
   */
  public static CudaDevice open(int ordinal) {
    if (!Cuda.initialise()) {
      throw Cuda.failure(Cuda.NO_DEVICE, "cuInit", "");
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment number = arena.allocate(JAVA_INT);
      MemorySegment pointer = arena.allocate(ADDRESS);
      MemorySegment text = arena.allocate(256);
      Cuda.check((int) CudaRaw.DEVICE_GET.invokeExact(number, ordinal), "cuDeviceGet");
      int handle = number.get(JAVA_INT, 0);
      Cuda.check((int) CudaRaw.DEVICE_NAME.invokeExact(text, 256, handle), "cuDeviceGetName");
      Cuda.check(
          (int) CudaRaw.CONTEXT_RETAIN.invokeExact(pointer, handle), "cuDevicePrimaryCtxRetain");
      CudaDevice device =
          new CudaDevice(ordinal, handle, pointer.get(ADDRESS, 0), text.getString(0));
      device.makeCurrent();
      return device;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Makes this device's context the calling thread's. */
  private void makeCurrent() {
    try {
      Cuda.check((int) CudaRaw.CONTEXT_SET.invokeExact(context), "cuCtxSetCurrent");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Its number among the devices. */
  public int ordinal() {
    return ordinal;
  }

  /** Its name as the driver says it. */
  public String name() {
    return name;
  }

  /** An attribute's value. */
  public int attribute(Attribute attribute) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      Cuda.check(
          (int) CudaRaw.DEVICE_ATTRIBUTE.invokeExact(out, attribute.code, handle),
          "cuDeviceGetAttribute");
      return out.get(JAVA_INT, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Compute capability as one number: 90 for 9.0. */
  public int computeCapability() {
    return 10 * attribute(Attribute.COMPUTE_CAPABILITY_MAJOR)
        + attribute(Attribute.COMPUTE_CAPABILITY_MINOR);
  }

  /** Bytes of its memory. */
  public long totalMemory() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG);
      Cuda.check((int) CudaRaw.DEVICE_TOTAL_MEMORY.invokeExact(out, handle), "cuDeviceTotalMem_v2");
      return out.get(JAVA_LONG, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Bytes that are free now. */
  public long freeMemory() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment free = arena.allocate(JAVA_LONG);
      MemorySegment total = arena.allocate(JAVA_LONG);
      Cuda.check((int) CudaRaw.MEMORY_INFO.invokeExact(free, total), "cuMemGetInfo_v2");
      return free.get(JAVA_LONG, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Memory of the device, its content undefined. Java cannot read or write it; only its address and
   * size count.
   *
   * @throws ForeignException with {@link #isOutOfMemory} where there is not enough
   */
  public MemorySegment allocate(long bytes) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG);
      int status = (int) CudaRaw.MEMORY_ALLOCATE.invokeExact(out, bytes);
      if (status != Cuda.SUCCESS) {
        throw Cuda.failure(status, "cuMemAlloc_v2", bytes + " bytes");
      }
      // A segment whose arena is closed refuses every access from Java.
      try (Arena notOnTheHost = Arena.ofConfined()) {
        return MemorySegment.ofAddress(out.get(JAVA_LONG, 0))
            .reinterpret(bytes, notOnTheHost, null);
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Returns memory that {@link #allocate} gave. */
  public void free(MemorySegment memory) {
    try {
      Cuda.check((int) CudaRaw.MEMORY_FREE.invokeExact(memory.address()), "cuMemFree_v2");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Page-locked host memory, which copies to and from without a detour. */
  public MemorySegment allocatePinned(long bytes) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      int status = (int) CudaRaw.HOST_ALLOCATE.invokeExact(out, bytes, HOST_PORTABLE);
      if (status != Cuda.SUCCESS) {
        throw Cuda.failure(status, "cuMemHostAlloc", bytes + " bytes");
      }
      return out.get(ADDRESS, 0).reinterpret(bytes);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Returns memory that {@link #allocatePinned} gave. */
  public void freePinned(MemorySegment memory) {
    try {
      Cuda.check((int) CudaRaw.HOST_FREE.invokeExact(memory), "cuMemFreeHost");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Returns when everything on the device has finished. */
  public void synchronise() {
    try {
      Cuda.check((int) CudaRaw.CONTEXT_SYNCHRONISE.invokeExact(), "cuCtxSynchronize");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Whether a failure of the driver, cuDNN or cuBLASLt says that memory was short. */
  public static boolean isOutOfMemory(ForeignException e) {
    String function = e.function();
    if (function.startsWith("cudnn")) {
      return e.code() == Cudnn.HOST_ALLOCATION_FAILED || e.code() == Cudnn.DEVICE_ALLOCATION_FAILED;
    }
    if (function.startsWith("cublas")) {
      return e.code() == CublasLt.ALLOC_FAILED;
    }
    return e.code() == Cuda.OUT_OF_MEMORY && function.startsWith("cu");
  }

  /**
   * Whether a failure of the driver leaves the device unusable for this process: a kernel that
   * faulted, a device that fell off the bus.
   */
  public static boolean isLost(ForeignException e) {
    if (!e.function().startsWith("cu") || e.function().startsWith("cudnn")) {
      return false;
    }
    return switch (e.code()) {
      case 4, 46, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999 -> true;
      default -> false;
    };
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        Cuda.check((int) CudaRaw.CONTEXT_RELEASE.invokeExact(handle), "cuDevicePrimaryCtxRelease");
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
