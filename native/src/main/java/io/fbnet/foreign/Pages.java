package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Large blocks of Linux's memory. The system zeroes a page when it is first touched, by the thread
 * that touches it, so a block is there at once; Java's own allocation has one thread write every
 * byte first. Huge pages were tried: where this was measured the first touch took far longer and
 * steps no less.
 */
@SuppressWarnings("restricted")
public final class Pages {
  private static final int READ_AND_WRITE = 3;
  private static final int PRIVATE_AND_ANONYMOUS = 0x22;
  private static final long FAILED = -1;

  private static final MethodHandle MMAP =
      handle("mmap", ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle MUNMAP = handle("munmap", JAVA_INT, ADDRESS, JAVA_LONG);

  private Pages() {}

  private static MethodHandle handle(String name, MemoryLayout result, MemoryLayout... arguments) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().find(name).orElseThrow(), FunctionDescriptor.of(result, arguments));
  }

  /**
   * {@return zeroed memory that begins with a page and is given back when the arena is closed}
   *
   * @param arena its owner
   * @param bytes its size
   * @throws OutOfMemoryError where the system does not have as much
   */
  public static MemorySegment map(Arena arena, long bytes) {
    long available = available();
    if (available >= 0 && bytes > available) {
      throw new OutOfMemoryError("the system has %d bytes, not %d".formatted(available, bytes));
    }
    try {
      MemorySegment block =
          (MemorySegment)
              MMAP.invokeExact(
                  MemorySegment.NULL, bytes, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0L);
      if (block.address() == FAILED) {
        throw new OutOfMemoryError("the system refused to map %d bytes".formatted(bytes));
      }
      return block.reinterpret(bytes, arena, gone -> unmap(gone, bytes));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static void unmap(MemorySegment block, long bytes) {
    try {
      int status = (int) MUNMAP.invokeExact(block, bytes);
      if (status != 0) {
        throw new IllegalStateException("munmap of %d bytes failed".formatted(bytes));
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** {@return bytes that the system says it can give without swapping, -1 where it does not} */
  public static long available() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
        if (line.startsWith("MemAvailable:")) {
          return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
        }
      }
    } catch (IOException e) {
      // Then mmap must tell.
    }
    return -1;
  }
}
