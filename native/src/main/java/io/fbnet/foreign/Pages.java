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
import java.util.Locale;

/**
 * Large blocks of Linux's memory. The system zeroes a page when it is first touched, by the thread
 * that touches it, so a block is there at once; Java's own allocation has one thread write every
 * byte first. Huge pages were tried: where this was measured the first touch took far longer and
 * steps no less.
 */
@SuppressWarnings("restricted")
public final class Pages {
  private static final int READ_AND_WRITE = 3;
  private static final int SHARED = 1;
  private static final int PRIVATE_AND_ANONYMOUS = 0x22;
  private static final long FAILED = -1;

  private Pages() {}

  /** Bound when memory is first mapped: to ask what is free needs none of it. */
  private static final class Calls {
    static final MethodHandle MMAP =
        handle("mmap", ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
    static final MethodHandle MUNMAP = handle("munmap", JAVA_INT, ADDRESS, JAVA_LONG);
  }

  /** A function of the C library. */
  static MethodHandle handle(String name, MemoryLayout result, MemoryLayout... arguments) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().find(name).orElseThrow(), FunctionDescriptor.of(result, arguments));
  }

  /**
   * {@return zeroed memory that begins with a page and is given back when the arena is closed}
   *
   * @param arena its owner
   * @param bytes its size
   * @throws OutOfMemoryError where the system refuses, which it does only where it is far from
   *     having as much: {@link #available} says what it has
   */
  public static MemorySegment map(Arena arena, long bytes) {
    return map(arena, bytes, PRIVATE_AND_ANONYMOUS, -1);
  }

  /** The memory of a file that others map, too. */
  static MemorySegment mapShared(Arena arena, long bytes, int file) {
    return map(arena, bytes, SHARED, file);
  }

  private static MemorySegment map(Arena arena, long bytes, int kind, int file) {
    try {
      MemorySegment block =
          (MemorySegment)
              Calls.MMAP.invokeExact(MemorySegment.NULL, bytes, READ_AND_WRITE, kind, file, 0L);
      if (block.address() == FAILED) {
        throw new OutOfMemoryError(
            String.format(Locale.ROOT, "the system refused to map %d bytes", bytes));
      }
      return block.reinterpret(bytes, arena, gone -> unmap(gone, bytes));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static void unmap(MemorySegment block, long bytes) {
    try {
      int status = (int) Calls.MUNMAP.invokeExact(block, bytes);
      if (status != 0) {
        throw new IllegalStateException(
            String.format(Locale.ROOT, "munmap of %d bytes failed", bytes));
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * {@return bytes that a process can take now: what the system can give without swapping, but no
   * more than a container's limit leaves; -1 where neither is said} What is mapped and not touched
   * yet is not taken off.
   */
  public static long available() {
    long system = number(Path.of("/proc/meminfo"), "MemAvailable:", 1 << 10);
    long limit = number(Path.of("/sys/fs/cgroup/memory.max"), "", 1);
    long used = number(Path.of("/sys/fs/cgroup/memory.stat"), "anon ", 1);
    if (limit < 0 || used < 0) {
      return system;
    }
    long left = Math.max(0, limit - used);
    return system < 0 ? left : Math.min(system, left);
  }

  /** The number in the line that begins so, -1 where there is none. */
  private static long number(Path file, String begin, long unit) {
    try {
      for (String line : Files.readAllLines(file)) {
        if (line.startsWith(begin)) {
          String digits = line.replaceAll("[^0-9]", "");
          return digits.isEmpty() ? -1 : Long.parseLong(digits) * unit;
        }
      }
    } catch (IOException e) {
      // Another system, or another version of it.
    }
    return -1;
  }
}
