package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.List;

/** The CUDA driver: whether it is there, and checked calls for the objects built on it. */
@SuppressWarnings("restricted")
public final class Cuda {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "CUDA driver",
          () -> List.of("libcuda.so.1"),
          "",
          "install an NVIDIA driver for CUDA 12 or 13 (libcuda.so.1), or name its folder in "
              + LibrarySearch.VARIABLE,
          () -> CudaRaw.BINDER,
          name -> versionOf());

  static final int SUCCESS = 0;
  static final int OUT_OF_MEMORY = 2;
  static final int NO_DEVICE = 100;
  static final int INVALID_IMAGE = 200;
  static final int NO_BINARY_FOR_GPU = 209;
  static final int INVALID_PTX = 218;
  static final int UNSUPPORTED_PTX_VERSION = 222;
  static final int INVALID_VALUE = 1;
  static final int NOT_READY = 600;

  private Cuda() {}

  /** Whether the driver can be used here, with its version or the remedy. */
  public static Availability availability() {
    return LIBRARY.load();
  }

  private static String versionOf() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      check((int) CudaRaw.DRIVER_VERSION.invokeExact(out), "cuDriverGetVersion");
      int version = out.get(JAVA_INT, 0);
      return "CUDA " + version / 1000 + "." + version % 1000 / 10;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Initialises the driver.
   *
   * @return whether it sees a device
   * @throws ForeignException where the driver does not work
   */
  static boolean initialise() {
    LIBRARY.require();
    try {
      int status = (int) CudaRaw.INIT.invokeExact(0);
      if (status == NO_DEVICE) {
        return false;
      }
      check(status, "cuInit");
      return true;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** The driver's major version, 0 where there is none. */
  static int major() {
    String version = availability().version();
    return version.isEmpty() ? 0 : Integer.parseInt(version.replaceAll("CUDA (\\d+)\\..*", "$1"));
  }

  /** The names of a library of the toolkit, that of the driver's own version first. */
  static List<String> sonames(String base) {
    return major() == 12
        ? List.of(base + ".so.12", base + ".so.13")
        : List.of(base + ".so.13", base + ".so.12");
  }

  /** Whether what was asked about has run. */
  static boolean done(int status, String function) {
    if (status != NOT_READY) {
      check(status, function);
    }
    return status != NOT_READY;
  }

  static void check(int status, String function) {
    if (status != SUCCESS) {
      throw failure(status, function, "");
    }
  }

  static void destroy(MethodHandle function, MemorySegment object, String name) {
    try {
      check((int) function.invokeExact(object), name);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  static ForeignException failure(int status, String function, String arguments) {
    String name = text(status, true);
    String words = text(status, false);
    return new ForeignException(
        function, status, words.isEmpty() ? name : name + ": " + words, arguments);
  }

  private static String text(int status, boolean name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      int result =
          name
              ? (int) CudaRaw.ERROR_NAME.invokeExact(status, out)
              : (int) CudaRaw.ERROR_STRING.invokeExact(status, out);
      return result == SUCCESS ? NativeLibrary.text(out.get(ADDRESS, 0)) : "";
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }
}
