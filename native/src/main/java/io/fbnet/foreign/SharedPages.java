package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Locale;

/**
 * Memory of Linux that other processes of this user and machine can see, by a name that they are
 * told. It is a file without a place (memfd_create), so nothing is left of it however a process
 * ends, and the 64 MiB that containers have for shared files are no limit.
 *
 * @param memory zeroed, begins with a page, gone when its arena is closed
 * @param name for {@link #open} in another process
 */
@SuppressWarnings("restricted")
public record SharedPages(MemorySegment memory, String name) {
  private static final int CLOSE_ON_EXEC = 1;
  private static final int TOKEN_BYTES = 16;
  private static final SecureRandom RANDOM = new SecureRandom();

  /** Bound when memory is first shared. */
  private static final class Calls {
    static final MethodHandle CREATE = Pages.handle("memfd_create", JAVA_INT, ADDRESS, JAVA_INT);
    static final MethodHandle TRUNCATE = Pages.handle("ftruncate", JAVA_INT, JAVA_INT, JAVA_LONG);
    static final MethodHandle CLOSE = Pages.handle("close", JAVA_INT, JAVA_INT);
  }

  /**
   * {@return new memory}
   *
   * @param arena its owner
   * @param bytes its size
   * @throws IOException where the system has no such memory, or not as much
   */
  public static SharedPages create(Arena arena, long bytes) throws IOException {
    int file = file(bytes + TOKEN_BYTES);
    MemorySegment all;
    try {
      all = Pages.mapShared(arena, bytes + TOKEN_BYTES, file);
      // Until the memory goes others may open the file.
      MemorySegment.NULL.reinterpret(1, arena, gone -> close(file));
    } catch (Throwable t) {
      close(file);
      throw t;
    }
    byte[] token = new byte[TOKEN_BYTES];
    RANDOM.nextBytes(token);
    MemorySegment.copy(token, 0, all, JAVA_BYTE, bytes, TOKEN_BYTES);
    String name =
        String.format(
            Locale.ROOT,
            "/proc/%d/fd/%d %d %s",
            ProcessHandle.current().pid(),
            file,
            bytes,
            HexFormat.of().formatHex(token));
    return new SharedPages(all.asSlice(0, bytes), name);
  }

  /** A file of memory alone. */
  private static int file(long bytes) throws IOException {
    try (Arena local = Arena.ofConfined()) {
      int file = (int) Calls.CREATE.invokeExact(local.allocateFrom("fbnet"), CLOSE_ON_EXEC);
      if (file < 0) {
        throw new IOException("memfd_create failed");
      }
      if ((int) Calls.TRUNCATE.invokeExact(file, bytes) != 0) {
        close(file);
        throw new IOException("memory to share cannot have " + bytes + " bytes");
      }
      return file;
    } catch (IOException e) {
      throw e;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private static void close(int file) {
    try {
      int ignored = (int) Calls.CLOSE.invokeExact(file);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * {@return the memory of another process}
   *
   * @param arena its owner here
   * @param name as that process has it
   * @throws IOException where it cannot be seen from here, as from another container, or is gone
   */
  public static MemorySegment open(Arena arena, String name) throws IOException {
    String[] parts = name.split(" ", -1);
    if (parts.length != 3) {
      throw new IOException("'" + name + "' names no memory");
    }
    Path path = Path.of(parts[0]);
    try (FileChannel file =
        FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      // Numbers of processes are others in another container.
      if (file.size() == Long.parseLong(parts[1]) + TOKEN_BYTES) {
        MemorySegment all = file.map(FileChannel.MapMode.READ_WRITE, 0, file.size(), arena);
        byte[] token = all.asSlice(file.size() - TOKEN_BYTES).toArray(JAVA_BYTE);
        if (HexFormat.of().formatHex(token).equals(parts[2])) {
          return all.asSlice(0, file.size() - TOKEN_BYTES);
        }
      }
      throw new IOException(path + " is other memory than was said");
    }
  }
}
