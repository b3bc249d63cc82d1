package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;

/** NVIDIA's run-time compiler: CUDA C++ to a cubin for one architecture. */
@SuppressWarnings("restricted")
public final class Nvrtc {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "NVRTC",
          () -> Cuda.sonames("libnvrtc"),
          "libnvrtc-builtins.so*",
          "install the CUDA toolkit 12 or 13 (libnvrtc), or Python's nvidia-cuda-nvrtc, and name"
              + " its folder in "
              + LibrarySearch.VARIABLE
              + " if it is not on the system's search path; it is needed only where the kernels of"
              + " the jar do not fit the device",
          () -> NvrtcRaw.BINDER,
          name -> versionOf());

  private Nvrtc() {}

  /** Whether NVRTC can be used here, with its version or the remedy. */
  public static Availability availability() {
    return LIBRARY.load();
  }

  private static String versionOf() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment major = arena.allocate(JAVA_INT);
      MemorySegment minor = arena.allocate(JAVA_INT);
      check((int) NvrtcRaw.VERSION.invokeExact(major, minor), "nvrtcVersion", "");
      return major.get(JAVA_INT, 0) + "." + minor.get(JAVA_INT, 0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Compiles.
   *
   * @param name of the source, for messages
   * @param headers what the source may include, by the name it uses
   * @param computeCapability of the device, 90 for 9.0
   * @throws IllegalStateException where the library is missing
   * @throws ForeignException with the compiler's log where the source does not compile
   */
  public static byte[] compile(
      String name, String source, Map<String, String> headers, int computeCapability) {
    LIBRARY.require();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      List<String> names = List.copyOf(headers.keySet());
      MemorySegment texts = strings(arena, names.stream().map(headers::get).toList());
      MemorySegment includes = strings(arena, names);
      MemorySegment code = arena.allocateFrom(source);
      MemorySegment label = arena.allocateFrom(name);
      int count = names.size();
      check(
          (int) NvrtcRaw.CREATE.invokeExact(out, code, label, count, texts, includes),
          "nvrtcCreateProgram",
          name);
      MemorySegment program = out.get(ADDRESS, 0);
      try {
        MemorySegment options =
            strings(arena, List.of("--gpu-architecture=sm_" + computeCapability, "-std=c++17"));
        int status = (int) NvrtcRaw.COMPILE.invokeExact(program, 2, options);
        check(status, "nvrtcCompileProgram", name + (status == 0 ? "" : log(program)));
        return cubin(arena, program);
      } finally {
        check((int) NvrtcRaw.DESTROY.invokeExact(out), "nvrtcDestroyProgram", name);
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static byte[] cubin(Arena arena, MemorySegment program) throws Throwable {
    MemorySegment size = arena.allocate(JAVA_LONG);
    check((int) NvrtcRaw.CUBIN_SIZE.invokeExact(program, size), "nvrtcGetCUBINSize", "");
    MemorySegment cubin = arena.allocate(size.get(JAVA_LONG, 0));
    check((int) NvrtcRaw.CUBIN.invokeExact(program, cubin), "nvrtcGetCUBIN", "");
    return cubin.toArray(JAVA_BYTE);
  }

  private static String log(MemorySegment program) throws Throwable {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment size = arena.allocate(JAVA_LONG);
      check((int) NvrtcRaw.LOG_SIZE.invokeExact(program, size), "nvrtcGetProgramLogSize", "");
      MemorySegment text = arena.allocate(size.get(JAVA_LONG, 0) + 1);
      check((int) NvrtcRaw.LOG.invokeExact(program, text), "nvrtcGetProgramLog", "");
      // A message is one line, and so is what a person is told.
      return ": " + text.getString(0).strip().replaceAll("\\s*\\R\\s*", "; ");
    }
  }

  private static MemorySegment strings(Arena arena, List<String> strings) {
    MemorySegment array = arena.allocate(ADDRESS, Math.max(1, strings.size()));
    for (int i = 0; i < strings.size(); i++) {
      array.setAtIndex(ADDRESS, i, arena.allocateFrom(strings.get(i)));
    }
    return array;
  }

  private static void check(int status, String function, String arguments) {
    if (status != 0) {
      try {
        MemorySegment string = (MemorySegment) NvrtcRaw.ERROR_STRING.invokeExact(status);
        throw new ForeignException(function, status, NativeLibrary.text(string), arguments);
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
