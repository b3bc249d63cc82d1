package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.lang.invoke.MethodHandle;

/**
 * Raw handles of NCCL 2 (nccl.h, 2.14 and later, whose communicators can be aborted while others
 * wait). Device pointers and counts are longs. Use through {@link Nccl}.
 */
final class NcclRaw {
  static final Binder BINDER = Nccl.LIBRARY.binder();

  static final int ID_BYTES = 128;

  /** {@code ncclUniqueId}, which is passed by value. */
  static final StructLayout ID =
      MemoryLayout.structLayout(
          MemoryLayout.sequenceLayout(ID_BYTES, JAVA_BYTE).withName("internal"));

  static final MethodHandle VERSION = BINDER.status("ncclGetVersion", ADDRESS);
  static final MethodHandle UNIQUE_ID = BINDER.status("ncclGetUniqueId", ADDRESS);
  static final MethodHandle INIT =
      BINDER.status("ncclCommInitRank", ADDRESS, JAVA_INT, ID, JAVA_INT);
  static final MethodHandle DESTROY = BINDER.status("ncclCommDestroy", ADDRESS);
  static final MethodHandle ABORT = BINDER.status("ncclCommAbort", ADDRESS);
  static final MethodHandle ASYNC_ERROR = BINDER.status("ncclCommGetAsyncError", ADDRESS, ADDRESS);
  static final MethodHandle ERROR_STRING =
      BINDER.function("ncclGetErrorString", FunctionDescriptor.of(ADDRESS, JAVA_INT));
  static final MethodHandle LAST_ERROR =
      BINDER.function("ncclGetLastError", FunctionDescriptor.of(ADDRESS, ADDRESS));
  static final MethodHandle ALL_REDUCE =
      BINDER.status(
          "ncclAllReduce", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle BROADCAST =
      BINDER.status(
          "ncclBroadcast", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle GROUP_START = BINDER.status("ncclGroupStart");
  static final MethodHandle GROUP_END = BINDER.status("ncclGroupEnd");

  private NcclRaw() {}
}
