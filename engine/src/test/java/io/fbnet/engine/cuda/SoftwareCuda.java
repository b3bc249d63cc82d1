package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The control surface of the software CUDA device (kernels/software/control.h). */
@SuppressWarnings("restricted")
public final class SoftwareCuda {
  /** What {@link #fail} can make fail. */
  public enum Call {
    ALLOCATION(0),
    LAUNCH(1),
    COPY(2),
    GRAPH_LAUNCH(3),
    CONVOLUTION(4),
    PRODUCT(5);

    final int code;

    Call(int code) {
      this.code = code;
    }
  }

  /** Kinds of live objects. */
  public enum Live {
    DEVICE_ALLOCATIONS(0),
    PINNED_ALLOCATIONS(1),
    STREAMS(2),
    EVENTS(3),
    MODULES(4),
    GRAPHS(5),
    EXECUTABLE_GRAPHS(6),
    CUDNN_OBJECTS(7),
    CUBLASLT_OBJECTS(8),
    CONTEXTS(9),
    DEVICE_BYTES(10),
    COMMUNICATORS(11);

    final int code;

    Live(int code) {
      this.code = code;
    }
  }

  /** Counters. */
  public enum Count {
    LAUNCHES(0),
    COPIES(1),
    COPIED_BYTES(2),
    GRAPH_LAUNCHES(3),
    CONVOLUTIONS(4),
    PRODUCTS(5),
    EXCHANGES(6);

    final int code;

    Count(int code) {
      this.code = code;
    }
  }

  private static final SymbolLookup SYMBOLS = find();

  private SoftwareCuda() {}

  private static SymbolLookup find() {
    String folder = System.getenv("FBNET_CUDA_PATH");
    Path library = folder == null ? null : Path.of(folder).resolve("libcuda.so.1");
    if (library == null || !Files.exists(library)) {
      return null;
    }
    SymbolLookup symbols = SymbolLookup.libraryLookup(library, Arena.global());
    return symbols.find("softCudaReset").isPresent() ? symbols : null;
  }

  /** Whether the CUDA driver that tests find is the software device. */
  public static boolean present() {
    return SYMBOLS != null;
  }

  private static Object call(
      String name, MemoryLayout result, MemoryLayout[] form, Object... arguments) {
    Optional<MemorySegment> symbol = SYMBOLS.find(name);
    MethodHandle handle =
        Linker.nativeLinker()
            .downcallHandle(symbol.orElseThrow(), FunctionDescriptor.of(result, form));
    try {
      return handle.invokeWithArguments(arguments);
    } catch (Throwable t) {
      throw new AssertionError(name, t);
    }
  }

  private static void set(String name, MemoryLayout[] form, Object... arguments) {
    int status = (int) call(name, JAVA_INT, form, arguments);
    if (status != 0) {
      throw new AssertionError(name + " returned " + status);
    }
  }

  /** Brings the device to fresh. */
  public static void reset() {
    set("softCudaReset", new MemoryLayout[0]);
  }

  /** Bytes of device memory. */
  public static void memory(long bytes) {
    set("softCudaSetMemory", new MemoryLayout[] {JAVA_LONG}, bytes);
  }

  /** Multiprocessors of the device, until the next reset. */
  public static void multiprocessors(int count) {
    set("softCudaSetMultiprocessors", new MemoryLayout[] {JAVA_INT}, count);
  }

  /** Compute capability times ten, until the next reset. */
  public static void capability(int times10) {
    set("softCudaSetCapability", new MemoryLayout[] {JAVA_INT}, times10);
  }

  /** Whether streams run only when waited for. */
  public static void lazy(boolean on) {
    set("softCudaSetLazy", new MemoryLayout[] {JAVA_INT}, on ? 1 : 0);
  }

  /** Whether threads and blocks run from the last to the first. */
  public static void descending(boolean on) {
    set("softCudaSetDescending", new MemoryLayout[] {JAVA_INT}, on ? 1 : 0);
  }

  /** Makes the nth call of a kind from now fail, once, or for ever after where sticky. */
  public static void fail(Call kind, long nth, int code, boolean sticky) {
    set(
        "softCudaFail",
        new MemoryLayout[] {JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT},
        kind.code,
        nth,
        code,
        sticky ? 1 : 0);
  }

  /** Makes the next load of a module fail. */
  public static void failModuleLoad(int code) {
    set("softCudaFailModuleLoad", new MemoryLayout[] {JAVA_INT}, code);
  }

  /** Makes a kernel wrong in a small way; an empty name ends it. */
  public static void plant(String kernel) {
    try (Arena arena = Arena.ofConfined()) {
      set("softCudaPlant", new MemoryLayout[] {ADDRESS}, arena.allocateFrom(kernel));
    }
  }

  /** Live objects. */
  public static long live(Live kind) {
    return (long) call("softCudaLive", JAVA_LONG, new MemoryLayout[] {JAVA_INT}, kind.code);
  }

  /** A counter since the last reset. */
  public static long count(Count counter) {
    return (long) call("softCudaCount", JAVA_LONG, new MemoryLayout[] {JAVA_INT}, counter.code);
  }

  /** Why the last call failed. */
  public static String lastFault() {
    MemorySegment text = (MemorySegment) call("softCudaLastFault", ADDRESS, new MemoryLayout[0]);
    return text.reinterpret(4096).getString(0);
  }
}
