package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.invoke.MethodHandle;

/** Raw handles of cuBLASLt (cublasLt.h, 12 and 13). Use through {@link CublasLt}. */
final class CublasLtRaw {
  static final Binder BINDER = CublasLt.LIBRARY.binder();

  static final MethodHandle VERSION =
      BINDER.function("cublasLtGetVersion", FunctionDescriptor.of(JAVA_LONG));
  static final MethodHandle STATUS_NAME =
      BINDER.function("cublasLtGetStatusName", FunctionDescriptor.of(ADDRESS, JAVA_INT));
  static final MethodHandle CREATE = BINDER.status("cublasLtCreate", ADDRESS);
  static final MethodHandle DESTROY = BINDER.status("cublasLtDestroy", ADDRESS);
  static final MethodHandle MATMUL_CREATE =
      BINDER.status("cublasLtMatmulDescCreate", ADDRESS, JAVA_INT, JAVA_INT);
  static final MethodHandle MATMUL_SET =
      BINDER.status("cublasLtMatmulDescSetAttribute", ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG);
  static final MethodHandle MATMUL_DESTROY = BINDER.status("cublasLtMatmulDescDestroy", ADDRESS);
  static final MethodHandle LAYOUT_CREATE =
      BINDER.status(
          "cublasLtMatrixLayoutCreate", ADDRESS, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  static final MethodHandle LAYOUT_SET =
      BINDER.status("cublasLtMatrixLayoutSetAttribute", ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG);
  static final MethodHandle LAYOUT_DESTROY = BINDER.status("cublasLtMatrixLayoutDestroy", ADDRESS);
  static final MethodHandle PREFERENCE_CREATE =
      BINDER.status("cublasLtMatmulPreferenceCreate", ADDRESS);
  static final MethodHandle PREFERENCE_SET =
      BINDER.status("cublasLtMatmulPreferenceSetAttribute", ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG);
  static final MethodHandle PREFERENCE_DESTROY =
      BINDER.status("cublasLtMatmulPreferenceDestroy", ADDRESS);
  static final MethodHandle HEURISTIC =
      BINDER.status(
          "cublasLtMatmulAlgoGetHeuristic",
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_INT,
          ADDRESS,
          ADDRESS);

  /** (handle, matmul, alpha, A, a, B, b, beta, C, c, D, d, algorithm, workspace, bytes, stream). */
  static final MethodHandle MATMUL =
      BINDER.status(
          "cublasLtMatmul",
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          ADDRESS,
          JAVA_LONG,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          ADDRESS,
          JAVA_LONG,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          JAVA_LONG,
          ADDRESS);

  private CublasLtRaw() {}
}
