package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/** The control surface of the software CUDA device (kernels/software/control.h), where it is. */
@SuppressWarnings("restricted")
final class CudaSoftware {
  static final int DEVICE_ALLOCATION = 0;
  static final int COPY = 2;
  static final int LIVE_KINDS = 11;
  static final int LIVE_CUDNN = 7;
  static final int LIVE_CUBLASLT = 8;

  private static final SymbolLookup SYMBOLS = find();

  private CudaSoftware() {}

  private static SymbolLookup find() {
    String folder = System.getenv(LibrarySearch.VARIABLE);
    Path library = folder == null ? null : Path.of(folder).resolve("libcuda.so.1");
    if (library == null || !Files.exists(library)) {
      return null;
    }
    SymbolLookup symbols = SymbolLookup.libraryLookup(library, Arena.global());
    return symbols.find("softCudaReset").isPresent() ? symbols : null;
  }

  /**
   * Leaves a test out where a library is missing. Beside the software device it is a failure: that
   * has all of them, so one that is not found lacks a function that is bound.
   */
  static void needs(Availability library) {
    String words = library.library() + " was not found: " + library.tried();
    if (present()) {
      assertTrue(library.found(), words);
    }
    assumeTrue(library.found(), words);
  }

  static boolean present() {
    return SYMBOLS != null;
  }

  /** Leaves a test out on a real GPU. */
  static void needsSoftware() {
    assumeTrue(present(), LibrarySearch.VARIABLE + " does not name the software CUDA device");
  }

  private static Object call(String name, FunctionDescriptor form, Object... arguments) {
    MethodHandle handle =
        Linker.nativeLinker().downcallHandle(SYMBOLS.find(name).orElseThrow(), form);
    try {
      return handle.invokeWithArguments(arguments);
    } catch (Throwable t) {
      throw new AssertionError(name, t);
    }
  }

  /** Brings the device to fresh; objects opened before are no longer known to it. */
  static void reset() {
    call("softCudaReset", FunctionDescriptor.of(JAVA_INT));
  }

  /** Whether streams run only when waited for. */
  static void lazy(boolean on) {
    call("softCudaSetLazy", FunctionDescriptor.of(JAVA_INT, JAVA_INT), on ? 1 : 0);
  }

  /** Makes the next call of a kind fail. */
  static void failNext(int kind, int code) {
    FunctionDescriptor form =
        FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT);
    call("softCudaFail", form, kind, 1L, code, 0);
  }

  /** Live objects of a kind. */
  static long live(int kind) {
    return (long) call("softCudaLive", FunctionDescriptor.of(JAVA_LONG, JAVA_INT), kind);
  }
}
