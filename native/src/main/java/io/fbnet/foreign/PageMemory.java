package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Memory straight from the system, in huge pages where it grants them. A training step walks
 * through gigabytes, and with pages of 4 KiB a good part of its time goes into finding them. Linux
 * grants huge pages to whoever asks ({@code madvise}) in the usual setting of
 * /sys/kernel/mm/transparent_hugepage/enabled.
 */
public final class PageMemory {
  private static final long HUGE = 2L << 20;
  private static final int READ_WRITE = 3;
  private static final int PRIVATE_ANONYMOUS = 0x22;
  private static final int MADV_HUGEPAGE = 14;
  private static final long MAP_FAILED = -1;

  private PageMemory() {}

  /** {@return whether this system maps memory as Linux does} */
  public static boolean present() {
    return System.getProperty("os.name").equals("Linux")
        && System.getProperty("os.arch").equals("amd64");
  }

  /** The functions, apart so that nothing is looked up where they are absent. */
  private static final class Raw {
    static final MethodHandle MMAP =
        of(
            "mmap",
            FunctionDescriptor.of(
                ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    static final MethodHandle MUNMAP =
        of("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
    static final MethodHandle MADVISE =
        of("madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));

    @SuppressWarnings("restricted")
    private static MethodHandle of(String name, FunctionDescriptor type) {
      Linker linker = Linker.nativeLinker();
      return linker.downcallHandle(linker.defaultLookup().find(name).orElseThrow(), type);
    }
  }

  /**
   * {@return zeros at an address that is a multiple of 2 MiB}
   *
   * @param bytes how many, above 0
   * @param arena which gives them back when it is closed
   * @throws OutOfMemoryError where the system refuses
   */
  @SuppressWarnings("restricted")
  public static MemorySegment map(long bytes, Arena arena) {
    long size = (bytes + HUGE - 1) / HUGE * HUGE;
    try {
      MemorySegment none = MemorySegment.NULL;
      MemorySegment wide =
          (MemorySegment)
              Raw.MMAP.invokeExact(none, size + HUGE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0L);
      long from = wide.address();
      if (from == MAP_FAILED) {
        throw new OutOfMemoryError("the system has no " + (size >> 20) + " MiB left to map");
      }
      long begin = (from + HUGE - 1) / HUGE * HUGE;
      unmap(from, begin - from);
      unmap(begin + size, from + HUGE - begin);
      MemorySegment aligned = MemorySegment.ofAddress(begin);
      // Refused where the system has no huge pages: then small ones serve.
      int ignored = (int) Raw.MADVISE.invokeExact(aligned, size, MADV_HUGEPAGE);
      return aligned.reinterpret(bytes, arena, segment -> unmap(segment.address(), size));
    } catch (OutOfMemoryError e) {
      throw e;
    } catch (Throwable t) {
      throw new LinkageError("mmap", t);
    }
  }

  private static void unmap(long address, long bytes) {
    if (bytes == 0) {
      return;
    }
    try {
      int ignored = (int) Raw.MUNMAP.invokeExact(MemorySegment.ofAddress(address), bytes);
    } catch (Throwable t) {
      throw new LinkageError("munmap", t);
    }
  }
}
