package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemoryLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/**
 * Raw handles of MPI 3. Use through {@link Mpi}.
 *
 * <p>The standard fixes names, not the binary interface. What {@code mpi.h} calls a handle is an
 * address in Open MPI and an int in MPICH; here both are longs. The numbers are those of the mpi.h
 * of Open MPI 4.1.4 and MPICH 4.0.2; the latter's are kept by all that share its interface.
 */
final class MpiRaw {
  static final Binder BINDER = Mpi.LIBRARY.binder();
  static final boolean OPEN_MPI = BINDER.has(MpiSearch.OPEN_MPI);

  /** A communicator, type, request and the like where it is an argument. */
  private static final MemoryLayout HANDLE = (OPEN_MPI ? JAVA_LONG : JAVA_INT).withName("handle");

  static final long COMM_WORLD = handle(MpiSearch.OPEN_MPI, 0x44000000);
  static final long BYTE = handle("ompi_mpi_byte", 0x4c00010d);
  static final long INFO_NULL = handle("ompi_mpi_info_null", 0x1c000000);
  static final long ERRORS_RETURN = handle("ompi_mpi_errors_return", 0x54000001);
  static final int COMM_TYPE_SHARED = OPEN_MPI ? 0 : 1;
  static final long STATUS_IGNORE = OPEN_MPI ? 0 : 1;
  static final long IN_PLACE = OPEN_MPI ? 1 : -1;
  static final int THREAD_FUNNELED = 1;

  /** The longer of both: MPI_MAX_LIBRARY_VERSION_STRING, and MPI_MAX_ERROR_STRING below it. */
  static final int LONGEST_TEXT = 8192;

  static final MethodHandle VERSION = bind("MPI_Get_library_version", ADDRESS, ADDRESS);
  static final MethodHandle ERROR_STRING = bind("MPI_Error_string", JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle INITIALIZED = bind("MPI_Initialized", ADDRESS);
  static final MethodHandle INIT = bind("MPI_Init_thread", ADDRESS, ADDRESS, JAVA_INT, ADDRESS);
  static final MethodHandle FINALIZE = bind("MPI_Finalize");
  static final MethodHandle SET_ERROR_HANDLER = bind("MPI_Comm_set_errhandler", HANDLE, HANDLE);
  static final MethodHandle RANK = bind("MPI_Comm_rank", HANDLE, ADDRESS);
  static final MethodHandle SIZE = bind("MPI_Comm_size", HANDLE, ADDRESS);
  static final MethodHandle SPLIT =
      bind("MPI_Comm_split_type", HANDLE, JAVA_INT, JAVA_INT, HANDLE, ADDRESS);
  static final MethodHandle FREE = bind("MPI_Comm_free", ADDRESS);
  static final MethodHandle ALL_TO_ALL =
      bind(
          "MPI_Ialltoallv",
          JAVA_LONG,
          ADDRESS,
          ADDRESS,
          HANDLE,
          JAVA_LONG,
          ADDRESS,
          ADDRESS,
          HANDLE,
          HANDLE,
          ADDRESS);
  static final MethodHandle ALL_GATHER =
      bind(
          "MPI_Iallgatherv",
          JAVA_LONG,
          JAVA_INT,
          HANDLE,
          JAVA_LONG,
          ADDRESS,
          ADDRESS,
          HANDLE,
          HANDLE,
          ADDRESS);
  static final MethodHandle BROADCAST =
      bind("MPI_Ibcast", JAVA_LONG, JAVA_INT, HANDLE, JAVA_INT, HANDLE, ADDRESS);
  static final MethodHandle BARRIER = bind("MPI_Ibarrier", HANDLE, ADDRESS);
  static final MethodHandle SHARE =
      bind("MPI_Win_allocate_shared", JAVA_LONG, JAVA_INT, HANDLE, HANDLE, ADDRESS, ADDRESS);
  static final MethodHandle SHARED =
      bind("MPI_Win_shared_query", HANDLE, JAVA_INT, ADDRESS, ADDRESS, ADDRESS);
  static final MethodHandle UNSHARE = bind("MPI_Win_free", ADDRESS);
  static final MethodHandle TEST = bind("MPI_Test", ADDRESS, ADDRESS, JAVA_LONG);

  private MpiRaw() {}

  private static long handle(String object, int number) {
    return OPEN_MPI ? BINDER.object(object) : number;
  }

  /** A function whose handles are longs, whatever they are to the library. */
  private static MethodHandle bind(String name, MemoryLayout... arguments) {
    MethodHandle function = BINDER.status(name, arguments);
    MethodType type = function.type();
    for (int i = 0; i < arguments.length; i++) {
      if (arguments[i].name().isPresent()) {
        type = type.changeParameterType(i, long.class);
      }
    }
    return MethodHandles.explicitCastArguments(function, type);
  }
}
