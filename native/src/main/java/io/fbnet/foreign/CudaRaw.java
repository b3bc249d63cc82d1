package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.invoke.MethodHandle;

/**
 * Raw handles of the CUDA driver (cuda.h, 12 and 13). Device pointers, sizes and 64-bit flags are
 * longs; handles are addresses. Touch this class only through {@link Cuda#LIBRARY}.
 */
final class CudaRaw {
  static final Binder BINDER = Cuda.LIBRARY.binder();

  static final MethodHandle INIT = BINDER.status("cuInit", JAVA_INT);
  static final MethodHandle DRIVER_VERSION = BINDER.status("cuDriverGetVersion", ADDRESS);
  static final MethodHandle DEVICE_COUNT = BINDER.status("cuDeviceGetCount", ADDRESS);
  static final MethodHandle DEVICE_GET = BINDER.status("cuDeviceGet", ADDRESS, JAVA_INT);
  static final MethodHandle DEVICE_NAME =
      BINDER.status("cuDeviceGetName", ADDRESS, JAVA_INT, JAVA_INT);
  static final MethodHandle DEVICE_TOTAL_MEMORY =
      BINDER.status("cuDeviceTotalMem_v2", ADDRESS, JAVA_INT);
  static final MethodHandle DEVICE_ATTRIBUTE =
      BINDER.status("cuDeviceGetAttribute", ADDRESS, JAVA_INT, JAVA_INT);
  static final MethodHandle CONTEXT_RETAIN =
      BINDER.status("cuDevicePrimaryCtxRetain", ADDRESS, JAVA_INT);
  static final MethodHandle CONTEXT_RELEASE =
      BINDER.status("cuDevicePrimaryCtxRelease_v2", JAVA_INT);
  static final MethodHandle CONTEXT_SET = BINDER.status("cuCtxSetCurrent", ADDRESS);
  static final MethodHandle CONTEXT_SYNCHRONISE = BINDER.status("cuCtxSynchronize");
  static final MethodHandle MEMORY_INFO = BINDER.status("cuMemGetInfo_v2", ADDRESS, ADDRESS);
  static final MethodHandle MEMORY_ALLOCATE = BINDER.status("cuMemAlloc_v2", ADDRESS, JAVA_LONG);
  static final MethodHandle MEMORY_FREE = BINDER.status("cuMemFree_v2", JAVA_LONG);
  static final MethodHandle HOST_ALLOCATE =
      BINDER.status("cuMemHostAlloc", ADDRESS, JAVA_LONG, JAVA_INT);
  static final MethodHandle HOST_FREE = BINDER.status("cuMemFreeHost", ADDRESS);
  static final MethodHandle COPY_TO_DEVICE =
      BINDER.status("cuMemcpyHtoDAsync_v2", JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS);
  static final MethodHandle COPY_TO_HOST =
      BINDER.status("cuMemcpyDtoHAsync_v2", ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS);
  static final MethodHandle COPY_ON_DEVICE =
      BINDER.status("cuMemcpyDtoDAsync_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS);
  static final MethodHandle MEMORY_SET =
      BINDER.status("cuMemsetD8Async", JAVA_LONG, JAVA_BYTE, JAVA_LONG, ADDRESS);
  static final MethodHandle STREAM_CREATE = BINDER.status("cuStreamCreate", ADDRESS, JAVA_INT);
  static final MethodHandle STREAM_DESTROY = BINDER.status("cuStreamDestroy_v2", ADDRESS);
  static final MethodHandle STREAM_SYNCHRONISE = BINDER.status("cuStreamSynchronize", ADDRESS);
  static final MethodHandle STREAM_QUERY = BINDER.status("cuStreamQuery", ADDRESS);
  static final MethodHandle STREAM_WAIT =
      BINDER.status("cuStreamWaitEvent", ADDRESS, ADDRESS, JAVA_INT);
  static final MethodHandle STREAM_BEGIN_CAPTURE =
      BINDER.status("cuStreamBeginCapture_v2", ADDRESS, JAVA_INT);
  static final MethodHandle STREAM_END_CAPTURE =
      BINDER.status("cuStreamEndCapture", ADDRESS, ADDRESS);
  static final MethodHandle EVENT_CREATE = BINDER.status("cuEventCreate", ADDRESS, JAVA_INT);
  static final MethodHandle EVENT_DESTROY = BINDER.status("cuEventDestroy_v2", ADDRESS);
  static final MethodHandle EVENT_RECORD = BINDER.status("cuEventRecord", ADDRESS, ADDRESS);
  static final MethodHandle EVENT_RECORD_FLAGS =
      BINDER.status("cuEventRecordWithFlags", ADDRESS, ADDRESS, JAVA_INT);
  static final MethodHandle EVENT_QUERY = BINDER.status("cuEventQuery", ADDRESS);
  static final MethodHandle EVENT_SYNCHRONISE = BINDER.status("cuEventSynchronize", ADDRESS);
  static final MethodHandle EVENT_ELAPSED =
      BINDER.status("cuEventElapsedTime", ADDRESS, ADDRESS, ADDRESS);
  static final MethodHandle MODULE_LOAD = BINDER.status("cuModuleLoadData", ADDRESS, ADDRESS);
  static final MethodHandle MODULE_UNLOAD = BINDER.status("cuModuleUnload", ADDRESS);
  static final MethodHandle MODULE_FUNCTION =
      BINDER.status("cuModuleGetFunction", ADDRESS, ADDRESS, ADDRESS);

  /** From CUDA 12.4 on. */
  static final MethodHandle FUNCTION_PARAMETER =
      BINDER.optional("cuFuncGetParamInfo", ADDRESS, JAVA_LONG, ADDRESS, ADDRESS);

  static final MethodHandle FUNCTION_ATTRIBUTE =
      BINDER.status("cuFuncGetAttribute", ADDRESS, JAVA_INT, ADDRESS);
  static final MethodHandle LAUNCH =
      BINDER.status(
          "cuLaunchKernel",
          ADDRESS,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS);
  static final MethodHandle GRAPH_INSTANTIATE =
      BINDER.status("cuGraphInstantiateWithFlags", ADDRESS, ADDRESS, JAVA_LONG);
  static final MethodHandle GRAPH_LAUNCH = BINDER.status("cuGraphLaunch", ADDRESS, ADDRESS);
  static final MethodHandle GRAPH_EXEC_DESTROY = BINDER.status("cuGraphExecDestroy", ADDRESS);
  static final MethodHandle GRAPH_DESTROY = BINDER.status("cuGraphDestroy", ADDRESS);
  static final MethodHandle ERROR_NAME = BINDER.status("cuGetErrorName", JAVA_INT, ADDRESS);
  static final MethodHandle ERROR_STRING = BINDER.status("cuGetErrorString", JAVA_INT, ADDRESS);

  private CudaRaw() {}
}
