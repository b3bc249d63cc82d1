package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A communicator of NCCL: this process's device among those of other processes. What it is asked
 * for runs on a stream, when all of them have come to it, and can be captured.
 *
 * <p>All processes ask for the same in the same order.
 */
@SuppressWarnings("restricted")
public final class Nccl implements AutoCloseable {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "NCCL",
          () -> List.of("libnccl.so.2"),
          "",
          "install NCCL 2 (Debian and Ubuntu: libnccl2, or Python's nvidia-nccl-cu13 or -cu12), and"
              + " name its folder in "
              + LibrarySearch.VARIABLE
              + " if it is not on the system's search path; it is needed only where several"
              + " processes, each with a GPU, are to exchange without a way through the host",
          () -> NcclRaw.BINDER,
          name -> versionOf());

  /** Bytes of an id. */
  public static final int ID_BYTES = NcclRaw.ID_BYTES;

  static final int SUCCESS = 0;
  static final int IN_PROGRESS = 7;
  static final int BYTES = 1;
  static final int F32 = 7;
  static final int F64 = 8;
  static final int AVERAGE = 4;

  private final MemorySegment handle;
  private boolean closed;

  private Nccl(MemorySegment handle) {
    this.handle = handle;
  }

  /** Whether NCCL can be used here, with its version or the remedy. */
  public static Availability availability() {
    return LIBRARY.load();
  }

  private static String versionOf() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      check((int) NcclRaw.VERSION.invokeExact(out), "ncclGetVersion", MemorySegment.NULL);
      return NativeLibrary.version(out.get(JAVA_INT, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Makes what lets processes find each other: one makes it, all are given it.
   *
   * @return {@link #ID_BYTES} bytes, good for one communicator
   * @throws IllegalStateException where the library is missing
   */
  public static byte[] uniqueId() {
    LIBRARY.require();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment id = arena.allocate(NcclRaw.ID);
      check((int) NcclRaw.UNIQUE_ID.invokeExact(id), "ncclGetUniqueId", MemorySegment.NULL);
      return id.toArray(JAVA_BYTE);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Makes this process's end of a communicator, for the calling thread's device. Returns when all
   * processes have come here.
   *
   * @param id what {@link #uniqueId} gave one of them
   * @param size how many there are
   * @param rank which of them this is, from 0
   * @throws ForeignException where NCCL refuses, as it does two processes with one device
   */
  public static Nccl join(byte[] id, int size, int rank) {
    if (id.length != ID_BYTES) {
      throw new IllegalArgumentException(
          "an id of NCCL has " + ID_BYTES + " bytes, not " + id.length);
    }
    LIBRARY.require();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      MemorySegment given = arena.allocate(NcclRaw.ID);
      MemorySegment.copy(id, 0, given, JAVA_BYTE, 0, id.length);
      check(
          (int) NcclRaw.INIT.invokeExact(out, size, given, rank),
          "ncclCommInitRank",
          MemorySegment.NULL);
      return new Nccl(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Replaces elements by their means over the processes.
   *
   * @param to device memory of as many bytes, or {@code from} itself
   * @param from device memory
   * @param elementBytes 4 for f32, 8 for f64
   */
  public void mean(CudaStream stream, MemorySegment to, MemorySegment from, int elementBytes) {
    if (elementBytes != Float.BYTES && elementBytes != Double.BYTES) {
      throw new IllegalArgumentException("elements have 4 or 8 bytes, not " + elementBytes);
    }
    requireEqual(to, from);
    int type = elementBytes == Float.BYTES ? F32 : F64;
    try {
      check(
          (int)
              NcclRaw.ALL_REDUCE.invokeExact(
                  from.address(),
                  to.address(),
                  from.byteSize() / elementBytes,
                  type,
                  AVERAGE,
                  open(),
                  stream.handle),
          "ncclAllReduce",
          handle);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Replaces the bytes of every other process's device memory by those of one. */
  public void broadcast(CudaStream stream, MemorySegment memory, int root) {
    try {
      check(
          (int)
              NcclRaw.BROADCAST.invokeExact(
                  memory.address(),
                  memory.address(),
                  memory.byteSize(),
                  BYTES,
                  root,
                  open(),
                  stream.handle),
          "ncclBroadcast",
          handle);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Has NCCL carry out all that {@code calls} ask for as one exchange. */
  public void together(Runnable calls) {
    try {
      check((int) NcclRaw.GROUP_START.invokeExact(), "ncclGroupStart", handle);
      ForeignException failure = null;
      try {
        calls.run();
      } catch (ForeignException e) {
        failure = e;
      }
      int ended = (int) NcclRaw.GROUP_END.invokeExact();
      if (failure != null) {
        // The end of a group fails with its calls, and says less.
        throw failure;
      }
      check(ended, "ncclGroupEnd", handle);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Asks what has happened since to what was enqueued.
   *
   * @throws ForeignException where it failed
   */
  public void requireWell() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      check((int) NcclRaw.ASYNC_ERROR.invokeExact(open(), out), "ncclCommGetAsyncError", handle);
      int error = out.get(JAVA_INT, 0);
      if (error != IN_PROGRESS) {
        check(error, "ncclCommGetAsyncError", handle);
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Ends the communicator and all that waits on it, whatever the other processes do. Graphs that
   * captured its exchanges are to be closed before: NCCL waits for the last of them. Idempotent,
   * and so is {@link #close} after it.
   */
  public void abort() {
    end(true);
  }

  /**
   * Gives the communicator back when its exchanges are done; waits for them, and for the end of
   * graphs that captured any. Idempotent.
   */
  @Override
  public void close() {
    end(false);
  }

  private void end(boolean abort) {
    if (!closed) {
      closed = true;
      try {
        if (abort) {
          check((int) NcclRaw.ABORT.invokeExact(handle), "ncclCommAbort", MemorySegment.NULL);
        } else {
          check((int) NcclRaw.DESTROY.invokeExact(handle), "ncclCommDestroy", MemorySegment.NULL);
        }
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }

  private MemorySegment open() {
    if (closed) {
      throw new IllegalStateException("the communicator of NCCL is closed");
    }
    return handle;
  }

  private static void requireEqual(MemorySegment to, MemorySegment from) {
    if (to.byteSize() != from.byteSize()) {
      throw new IllegalArgumentException(
          "means of " + from.byteSize() + " bytes have no place in " + to.byteSize());
    }
  }

  /** Its last error says more than the code, where there is one; some versions end it by a line. */
  private static void check(int status, String function, MemorySegment communicator) {
    if (status != SUCCESS) {
      try {
        String name = NativeLibrary.text((MemorySegment) NcclRaw.ERROR_STRING.invokeExact(status));
        String last =
            NativeLibrary.text((MemorySegment) NcclRaw.LAST_ERROR.invokeExact(communicator));
        String words = last.strip().replaceAll("\\s+", " ");
        throw new ForeignException(
            function, status, words.isEmpty() ? name : name + ": " + words, "");
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
