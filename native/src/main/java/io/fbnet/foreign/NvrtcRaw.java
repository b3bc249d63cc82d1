package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.invoke.MethodHandle;

/** Raw handles of NVRTC (nvrtc.h, 12 and 13). Use through {@link Nvrtc}. */
final class NvrtcRaw {
  static final Binder BINDER = Nvrtc.LIBRARY.binder();

  static final MethodHandle VERSION = BINDER.status("nvrtcVersion", ADDRESS, ADDRESS);
  static final MethodHandle ERROR_STRING =
      BINDER.function("nvrtcGetErrorString", FunctionDescriptor.of(ADDRESS, JAVA_INT));
  static final MethodHandle CREATE =
      BINDER.status("nvrtcCreateProgram", ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS);
  static final MethodHandle DESTROY = BINDER.status("nvrtcDestroyProgram", ADDRESS);
  static final MethodHandle COMPILE =
      BINDER.status("nvrtcCompileProgram", ADDRESS, JAVA_INT, ADDRESS);
  static final MethodHandle LOG_SIZE = BINDER.status("nvrtcGetProgramLogSize", ADDRESS, ADDRESS);
  static final MethodHandle LOG = BINDER.status("nvrtcGetProgramLog", ADDRESS, ADDRESS);
  static final MethodHandle CUBIN_SIZE = BINDER.status("nvrtcGetCUBINSize", ADDRESS, ADDRESS);
  static final MethodHandle CUBIN = BINDER.status("nvrtcGetCUBIN", ADDRESS, ADDRESS);

  private NvrtcRaw() {}
}
