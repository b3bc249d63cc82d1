package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * D = op(A) op(B), column-major, accumulated in f32, for a batch of matrices at fixed distances.
 * The algorithm is the first of cuBLASLt's own ranking, so the same shape always gets the same one.
 */
@SuppressWarnings("restricted")
public final class CublasLtMatmul implements AutoCloseable {
  /** Element types, numbered as in {@code cudaDataType}. */
  public enum Type {
    F32(0, 4),
    BF16(14, 2);

    final int code;
    private final int bytes;

    Type(int code, int bytes) {
      this.code = code;
      this.bytes = bytes;
    }

    /** Bytes of an element. */
    public int bytes() {
      return bytes;
    }
  }

  /**
   * A matrix as it lies in memory, column-major.
   *
   * @param type of its elements
   * @param rows of the matrix in memory, before any transposition
   * @param columns likewise
   * @param leading elements from one column to the next
   * @param distance elements from one matrix of the batch to the next
   */
  public record Matrix(Type type, long rows, long columns, long leading, long distance) {}

  static final int COMPUTE_32F = 68;
  static final int COMPUTE_32F_FAST_TF32 = 77;
  static final int TRANSA = 3;
  static final int TRANSB = 4;
  static final int OP_N = 0;
  static final int OP_T = 1;
  static final int LAYOUT_BATCH_COUNT = 5;
  static final int LAYOUT_BATCH_OFFSET = 6;
  static final int PREFERENCE_WORKSPACE = 1;
  static final int PREFERENCE_REDUCTION = 3;
  static final int PREFERENCE_ALIGNMENT_A = 5;

  /** Partial sums of a split product go through workspace and are added in order. */
  static final int REDUCTION_ORDERED = 2 | 4;

  /** Bytes of cublasLtMatmulHeuristicResult_t; the algorithm lies at its start. */
  static final long RESULT_BYTES = 96;

  static final long RESULT_WORKSPACE = 64;
  static final long RESULT_STATE = 72;

  private final Arena arena = Arena.ofConfined();
  private final CublasLt cublas;
  private final List<MemorySegment> layouts = new ArrayList<>();
  private MemorySegment matmul;
  private final MemorySegment one;
  private final MemorySegment zero;
  private final MemorySegment algorithm;
  private final long workspaceBytes;
  private boolean closed;

  /**
   * Chooses an algorithm.
   *
   * @param tf32 whether f32 inputs may be rounded to TF32 on tensor cores
   * @param deterministic whether sums split over several blocks must be added in a fixed order
   * @param alignment bytes to which a, b and d are aligned
   * @param mostWorkspace bytes of workspace that an algorithm may ask for
   */
  public CublasLtMatmul(
      CublasLt cublas,
      Matrix a,
      boolean transposeA,
      Matrix b,
      boolean transposeB,
      Matrix d,
      int batch,
      boolean tf32,
      boolean deterministic,
      int[] alignment,
      long mostWorkspace) {
    this.cublas = cublas;
    one = arena.allocateFrom(JAVA_FLOAT, 1f);
    zero = arena.allocateFrom(JAVA_FLOAT, 0f);
    try {
      MemorySegment out = arena.allocate(ADDRESS);
      CublasLt.check(
          (int)
              CublasLtRaw.MATMUL_CREATE.invokeExact(
                  out, tf32 ? COMPUTE_32F_FAST_TF32 : COMPUTE_32F, Type.F32.code),
          "cublasLtMatmulDescCreate");
      matmul = out.get(ADDRESS, 0);
      set(TRANSA, transposeA);
      set(TRANSB, transposeB);
      for (Matrix m : List.of(a, b, d)) {
        layout(m, batch);
      }
      MemorySegment result = choose(deterministic, alignment, mostWorkspace);
      algorithm = result.asSlice(0, RESULT_WORKSPACE);
      workspaceBytes = result.get(JAVA_LONG, RESULT_WORKSPACE);
    } catch (Throwable t) {
      try {
        close();
      } catch (ForeignException e) {
        t.addSuppressed(e);
      }
      throw Dnnl.rethrow(t);
    }
  }

  private void set(int attribute, boolean transpose) throws Throwable {
    MemorySegment value = arena.allocateFrom(JAVA_INT, transpose ? OP_T : OP_N);
    CublasLt.check(
        (int) CublasLtRaw.MATMUL_SET.invokeExact(matmul, attribute, value, 4L),
        "cublasLtMatmulDescSetAttribute");
  }

  private void layout(Matrix m, int batch) throws Throwable {
    MemorySegment out = arena.allocate(ADDRESS);
    CublasLt.check(
        (int)
            CublasLtRaw.LAYOUT_CREATE.invokeExact(
                out, m.type().code, m.rows(), m.columns(), m.leading()),
        "cublasLtMatrixLayoutCreate");
    MemorySegment layout = out.get(ADDRESS, 0);
    layouts.add(layout);
    if (batch > 1) {
      MemorySegment count = arena.allocateFrom(JAVA_INT, batch);
      MemorySegment distance = arena.allocateFrom(JAVA_LONG, m.distance());
      CublasLt.check(
          (int) CublasLtRaw.LAYOUT_SET.invokeExact(layout, LAYOUT_BATCH_COUNT, count, 4L),
          "cublasLtMatrixLayoutSetAttribute");
      CublasLt.check(
          (int) CublasLtRaw.LAYOUT_SET.invokeExact(layout, LAYOUT_BATCH_OFFSET, distance, 8L),
          "cublasLtMatrixLayoutSetAttribute");
    }
  }

  private MemorySegment choose(boolean deterministic, int[] alignment, long mostWorkspace)
      throws Throwable {
    MemorySegment out = arena.allocate(ADDRESS);
    CublasLt.check(
        (int) CublasLtRaw.PREFERENCE_CREATE.invokeExact(out), "cublasLtMatmulPreferenceCreate");
    MemorySegment preference = out.get(ADDRESS, 0);
    try {
      prefer(preference, PREFERENCE_WORKSPACE, arena.allocateFrom(JAVA_LONG, mostWorkspace));
      if (deterministic) {
        prefer(preference, PREFERENCE_REDUCTION, arena.allocateFrom(JAVA_INT, REDUCTION_ORDERED));
      }
      // A, B, C and D, in this order; C is D.
      int[] bytes = {alignment[0], alignment[1], alignment[2], alignment[2]};
      for (int i = 0; i < bytes.length; i++) {
        prefer(preference, PREFERENCE_ALIGNMENT_A + i, arena.allocateFrom(JAVA_INT, bytes[i]));
      }
      MemorySegment result = arena.allocate(RESULT_BYTES, 8);
      MemorySegment returned = arena.allocate(JAVA_INT);
      CublasLt.check(
          (int)
              CublasLtRaw.HEURISTIC.invokeExact(
                  cublas.handle,
                  matmul,
                  layouts.get(0),
                  layouts.get(1),
                  layouts.get(2),
                  layouts.get(2),
                  preference,
                  1,
                  result,
                  returned),
          "cublasLtMatmulAlgoGetHeuristic");
      if (returned.get(JAVA_INT, 0) < 1 || result.get(JAVA_INT, RESULT_STATE) != 0) {
        throw new ForeignException(
            "cublasLtMatmulAlgoGetHeuristic", 15, "no algorithm for this product", "");
      }
      return result;
    } finally {
      CublasLt.check(
          (int) CublasLtRaw.PREFERENCE_DESTROY.invokeExact(preference),
          "cublasLtMatmulPreferenceDestroy");
    }
  }

  private static void prefer(MemorySegment preference, int attribute, MemorySegment value)
      throws Throwable {
    CublasLt.check(
        (int)
            CublasLtRaw.PREFERENCE_SET.invokeExact(preference, attribute, value, value.byteSize()),
        "cublasLtMatmulPreferenceSetAttribute");
  }

  /** Bytes of workspace that {@link #run} needs. */
  public long workspaceBytes() {
    return workspaceBytes;
  }

  /** Enqueues the product; {@code workspace} is not looked at where none is needed. */
  public void run(
      CudaStream stream,
      MemorySegment a,
      MemorySegment b,
      MemorySegment d,
      MemorySegment workspace) {
    try {
      MemorySegment layoutA = layouts.get(0);
      MemorySegment layoutB = layouts.get(1);
      MemorySegment layoutD = layouts.get(2);
      int status =
          (int)
              CublasLtRaw.MATMUL.invokeExact(
                  cublas.handle,
                  matmul,
                  one,
                  a.address(),
                  layoutA,
                  b.address(),
                  layoutB,
                  zero,
                  d.address(),
                  layoutD,
                  d.address(),
                  layoutD,
                  algorithm,
                  workspaceBytes == 0 ? 0L : workspace.address(),
                  workspaceBytes,
                  stream.handle);
      CublasLt.check(status, "cublasLtMatmul");
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      for (MemorySegment layout : layouts) {
        CublasLt.check(
            (int) CublasLtRaw.LAYOUT_DESTROY.invokeExact(layout), "cublasLtMatrixLayoutDestroy");
      }
      if (matmul != null) {
        CublasLt.check(
            (int) CublasLtRaw.MATMUL_DESTROY.invokeExact(matmul), "cublasLtMatmulDescDestroy");
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    } finally {
      arena.close();
    }
  }
}
