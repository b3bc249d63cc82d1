package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;

/**
 * This process among those that a launcher started together: MPI between its initialisation and its
 * end. One thread makes it and calls it.
 *
 * <p>All processes ask for the same exchanges in the same order. Lengths are of bytes.
 */
@SuppressWarnings("restricted")
public final class Mpi implements AutoCloseable {
  static final NativeLibrary LIBRARY =
      new NativeLibrary(
          "MPI",
          () -> {
            leaveSignals();
            return new MpiSearch(System.getenv(), MpiLauncher.ofThisProcess()).find();
          },
          MpiSearch.remedy(MpiLauncher.ofThisProcess()),
          () -> MpiRaw.BINDER,
          Mpi::versionOf);

  private final int rank;
  private final int size;
  private final int localRank;
  private final int localSize;
  private final MemorySegment window = Arena.global().allocate(JAVA_LONG);
  private boolean closed;

  private Mpi() throws Throwable {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG);
      check((int) MpiRaw.INITIALIZED.invokeExact(out), "MPI_Initialized", "");
      if (out.get(JAVA_INT, 0) != 0) {
        throw new IllegalStateException("a process can initialise MPI only once");
      }
      check(
          (int)
              MpiRaw.INIT.invokeExact(
                  MemorySegment.NULL, MemorySegment.NULL, MpiRaw.THREAD_FUNNELED, out),
          "MPI_Init_thread",
          "");
      if (out.get(JAVA_INT, 0) < MpiRaw.THREAD_FUNNELED) {
        throw new IllegalStateException(
            "this MPI library was built for processes of one thread, and Java has more");
      }
      long world = MpiRaw.COMM_WORLD;
      check(
          (int) MpiRaw.SET_ERROR_HANDLER.invokeExact(world, MpiRaw.ERRORS_RETURN),
          "MPI_Comm_set_errhandler",
          "");
      rank = number(MpiRaw.RANK, "MPI_Comm_rank", world, out);
      size = number(MpiRaw.SIZE, "MPI_Comm_size", world, out);
      out.set(JAVA_LONG, 0, 0);
      check(
          (int)
              MpiRaw.SPLIT.invokeExact(world, MpiRaw.COMM_TYPE_SHARED, rank, MpiRaw.INFO_NULL, out),
          "MPI_Comm_split_type",
          "");
      long machine = out.get(JAVA_LONG, 0);
      MemorySegment local = arena.allocate(JAVA_INT);
      localRank = number(MpiRaw.RANK, "MPI_Comm_rank", machine, local);
      localSize = number(MpiRaw.SIZE, "MPI_Comm_size", machine, local);
      check((int) MpiRaw.FREE.invokeExact(out), "MPI_Comm_free", "");
    }
  }

  private static int number(MethodHandle function, String name, long world, MemorySegment out)
      throws Throwable {
    check((int) function.invokeExact(world, out), name, "");
    return out.get(JAVA_INT, 0);
  }

  /**
   * Whether the MPI library of this process's launcher can be used, with its version or the remedy;
   * of a process that none started, whether there is any. Loads, but does not initialise.
   */
  public static Availability availability() {
    return LIBRARY.load();
  }

  /**
   * Initialises MPI, once a process. Returns when all processes have come here; there is no
   * deadline, since MPI has none.
   *
   * @throws IllegalStateException where the library is missing
   * @throws ForeignException where it fails and says so; some failures it reports itself, and ends
   *     the process
   */
  public static Mpi initialise() {
    LIBRARY.require();
    try {
      return new Mpi();
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Which of the processes this is, from 0. */
  public int rank() {
    return rank;
  }

  /** How many processes there are. */
  public int size() {
    return size;
  }

  /** Which of the processes of this machine this is, from 0. */
  public int localRank() {
    return localRank;
  }

  /** How many of the processes are on this machine. */
  public int localSize() {
    return localSize;
  }

  /**
   * Allocates memory that all processes see, where all are on one machine; once. Returns when all
   * have come here; like the initialisation it has no deadline. What one wrote before a {@link
   * #barrier} another reads after it.
   *
   * @param bytes of each process, equal for all
   * @return the memory of each process, until {@link #close}
   */
  public List<MemorySegment> share(long bytes) {
    if (localSize != size || window.get(JAVA_LONG, 0) != 0) {
      throw new IllegalStateException("memory is shared on one machine and once");
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment base = arena.allocate(ADDRESS);
      check(
          (int)
              MpiRaw.SHARE.invokeExact(bytes, 1, MpiRaw.INFO_NULL, MpiRaw.COMM_WORLD, base, window),
          "MPI_Win_allocate_shared",
          bytes + " bytes");
      MemorySegment length = arena.allocate(JAVA_LONG);
      MemorySegment unit = arena.allocate(JAVA_INT);
      List<MemorySegment> all = new ArrayList<>();
      for (int i = 0; i < size; i++) {
        check(
            (int) MpiRaw.SHARED.invokeExact(window.get(JAVA_LONG, 0), i, length, unit, base),
            "MPI_Win_shared_query",
            "");
        all.add(base.get(ADDRESS, 0).reinterpret(bytes));
      }
      return all;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Sends a part to every process and receives one from each.
   *
   * @param from where the parts to send lie
   * @param counts bytes for each process
   * @param starts where in {@code from} each process's part begins
   * @param to where the parts received go
   * @param countsTo bytes from each process
   * @param startsTo where in {@code to} each process's part goes
   */
  public MpiRequest allToAll(
      MemorySegment from,
      int[] counts,
      int[] starts,
      MemorySegment to,
      int[] countsTo,
      int[] startsTo) {
    requireWithin(from, counts, starts);
    requireWithin(to, countsTo, startsTo);
    return start(
        "MPI_Ialltoallv",
        (arena, request) ->
            (int)
                MpiRaw.ALL_TO_ALL.invokeExact(
                    from.address(),
                    arena.allocateFrom(JAVA_INT, counts),
                    arena.allocateFrom(JAVA_INT, starts),
                    MpiRaw.BYTE,
                    to.address(),
                    arena.allocateFrom(JAVA_INT, countsTo),
                    arena.allocateFrom(JAVA_INT, startsTo),
                    MpiRaw.BYTE,
                    MpiRaw.COMM_WORLD,
                    request));
  }

  /**
   * Completes memory of which each process has one part.
   *
   * @param counts bytes of each process's part
   * @param starts where each begins
   */
  public MpiRequest allGather(MemorySegment bytes, int[] counts, int[] starts) {
    requireWithin(bytes, counts, starts);
    return start(
        "MPI_Iallgatherv",
        (arena, request) ->
            (int)
                MpiRaw.ALL_GATHER.invokeExact(
                    MpiRaw.IN_PLACE,
                    0,
                    MpiRaw.BYTE,
                    bytes.address(),
                    arena.allocateFrom(JAVA_INT, counts),
                    arena.allocateFrom(JAVA_INT, starts),
                    MpiRaw.BYTE,
                    MpiRaw.COMM_WORLD,
                    request));
  }

  /**
   * Gives the bytes of one process to all.
   *
   * @param bytes at most 2 GiB less one
   */
  public MpiRequest broadcast(MemorySegment bytes, int root) {
    requireNative(bytes);
    int count = Math.toIntExact(bytes.byteSize());
    return start(
        "MPI_Ibcast",
        (arena, request) ->
            (int)
                MpiRaw.BROADCAST.invokeExact(
                    bytes.address(), count, MpiRaw.BYTE, root, MpiRaw.COMM_WORLD, request));
  }

  /** Is done when every process has asked for it. */
  public MpiRequest barrier() {
    return start(
        "MPI_Ibarrier",
        (arena, request) -> (int) MpiRaw.BARRIER.invokeExact(MpiRaw.COMM_WORLD, request));
  }

  private interface Call {
    int status(Arena arena, MemorySegment request) throws Throwable;
  }

  private MpiRequest start(String function, Call call) {
    if (closed) {
      throw new IllegalStateException("MPI has been ended in this process");
    }
    Arena arena = Arena.ofConfined();
    MemorySegment request = arena.allocate(ADDRESS);
    try {
      check(call.status(arena, request), function, "");
    } catch (Throwable t) {
      arena.close();
      throw Dnnl.rethrow(t);
    }
    return new MpiRequest(arena, function, request);
  }

  private void requireWithin(MemorySegment bytes, int[] counts, int[] starts) {
    requireNative(bytes);
    if (counts.length != size || starts.length != size) {
      throw new IllegalArgumentException("one count and one start a process");
    }
    for (int i = 0; i < size; i++) {
      if (counts[i] < 0 || starts[i] < 0 || (long) starts[i] + counts[i] > bytes.byteSize()) {
        throw new IllegalArgumentException(
            "the part of process " + i + " lies outside " + bytes.byteSize() + " bytes");
      }
    }
  }

  private static void requireNative(MemorySegment bytes) {
    if (!bytes.isNative()) {
      throw new IllegalArgumentException("MPI needs memory outside Java's heap");
    }
  }

  static void check(int status, String function, String arguments) {
    if (status != 0) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment text = arena.allocate(MpiRaw.LONGEST_TEXT);
        int none = (int) MpiRaw.ERROR_STRING.invokeExact(status, text, arena.allocate(JAVA_INT));
        throw new ForeignException(
            function, status, none == 0 ? line(text.getString(0)) : "", arguments);
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }

  /** As "Open MPI 4.1.4 (libmpi.so.40)". */
  private static String versionOf(String name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocate(MpiRaw.LONGEST_TEXT);
      check(
          (int) MpiRaw.VERSION.invokeExact(text, arena.allocate(JAVA_INT)),
          "MPI_Get_library_version",
          "");
      return title(text.getString(0)) + " (" + name + ")";
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * The name and number out of what a library says of itself, which goes on with hosts and flags:
   * "Open MPI v4.1.4, package: ..." or lines such as "MPICH Version: 4.0.2".
   */
  static String title(String text) {
    String first = text.strip().lines().findFirst().orElse("");
    return line(first.replaceFirst("(,| \\().*", "").replaceAll("(?i)\\bversion\\b\\s*:?", " "))
        .replaceFirst("^Open MPI v", "Open MPI ");
  }

  private static String line(String text) {
    return text.strip().replaceAll("\\s+", " ");
  }

  /**
   * UCX, on which either library may stand, takes SIGSEGV and its like when it is loaded, unless
   * told otherwise before; Java's virtual machine, which lives by them, would then be ended by the
   * first null. So what the user has set does not stay. Open MPI itself respects who came first.
   */
  private static void leaveSignals() {
    Linker linker = Linker.nativeLinker();
    MethodHandle set =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("setenv"),
            FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));
    try (Arena arena = Arena.ofConfined()) {
      int _ =
          (int) set.invokeExact(arena.allocateFrom("UCX_ERROR_SIGNALS"), arena.allocateFrom(""), 1);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /**
   * Ends MPI in good order; waits until every process does. Idempotent. Not to be called while an
   * exchange is under way or after one has failed: then the process ends without, and its launcher
   * ends the others.
   */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      try {
        if (window.get(JAVA_LONG, 0) != 0) {
          check((int) MpiRaw.UNSHARE.invokeExact(window), "MPI_Win_free", "");
        }
        check((int) MpiRaw.FINALIZE.invokeExact(), "MPI_Finalize", "");
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
  }
}
