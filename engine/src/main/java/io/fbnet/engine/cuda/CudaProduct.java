package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CublasLtMatmul;
import io.fbnet.foreign.CublasLtMatmul.Matrix;
import io.fbnet.foreign.CudaDevice;
import io.fbnet.foreign.ForeignException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Locale;

/**
 * Products of row-major matrices by cuBLASLt, which sees each of them transposed: a row-major [r,c]
 * is a column-major [c,r].
 */
final class CudaProduct {
  /** Most workspace an algorithm may ask for; NVIDIA's advice for Hopper. */
  private static final long MOST_WORKSPACE = 32L << 20;

  private static final int MOST_ALIGNMENT = 256;

  private CudaProduct() {}

  /**
   * A row-major matrix, or as many as there are groups, side by side.
   *
   * @param memory of the first
   * @param type of its elements
   * @param rows of one matrix
   * @param columns of one matrix
   * @param leading elements from one row to the next
   * @param distance elements from one matrix to the next
   */
  record Operand(
      MemorySegment memory,
      CublasLtMatmul.Type type,
      long rows,
      long columns,
      long leading,
      long distance) {
    private Matrix matrix() {
      return new Matrix(type, /* rows= */ columns, /* columns= */ rows, leading, distance);
    }

    private Operand group(int g) {
      MemorySegment own = memory.asSlice(g * distance * type.bytes());
      return new Operand(own, type, rows, columns, leading, 0);
    }

    /** Some neighbouring columns of the one matrix. */
    Operand columns(long first, long count) {
      return new Operand(memory.asSlice(first * type.bytes()), type, rows, count, leading, 0);
    }

    private long bytes() {
      return rows * columns * type.bytes();
    }

    private int alignment() {
      long bits = memory.address() | distance * type.bytes() | MOST_ALIGNMENT;
      return (int) Long.lowestOneBit(bits);
    }
  }

  /** d = op(a) op(b), row-major, for each group. */
  static Kernel of(
      CudaContext context,
      Family family,
      Operand a,
      boolean transposeA,
      Operand b,
      boolean transposeB,
      Operand d,
      int groups) {
    try {
      return batched(context, family, a, transposeA, b, transposeB, d, groups);
    } catch (ForeignException none) {
      if (groups == 1 || CudaDevice.isOutOfMemory(none)) {
        throw none;
      }
      // Some sizes of interleaved groups have no batched algorithm; each group by itself has.
      return oneByOne(context, family, a, transposeA, b, transposeB, d, groups);
    }
  }

  /** One product a group, for sizes that have no batched algorithm. */
  static Kernel oneByOne(
      CudaContext context,
      Family family,
      Operand a,
      boolean transposeA,
      Operand b,
      boolean transposeB,
      Operand d,
      int groups) {
    Kernel[] kernels = new Kernel[groups];
    for (int g = 0; g < groups; g++) {
      kernels[g] =
          batched(context, family, a.group(g), transposeA, b.group(g), transposeB, d.group(g), 1);
    }
    return CudaContext.sequence(kernels);
  }

  /** All groups in one call. */
  static Kernel batched(
      CudaContext context,
      Family family,
      Operand a,
      boolean transposeA,
      Operand b,
      boolean transposeB,
      Operand d,
      int groups) {
    // Row-major d = a b is column-major d' = b' a'.
    CublasLtMatmul product =
        context.keep(
            new CublasLtMatmul(
                context.backend.cublas(),
                b.matrix(),
                transposeB,
                a.matrix(),
                transposeA,
                d.matrix(),
                groups,
                // TF32 is a way to multiply f32; bf16 has its own.
                context.tf32 && a.type() == CublasLtMatmul.Type.F32,
                context.deterministic,
                new int[] {b.alignment(), a.alignment(), d.alignment()},
                MOST_WORKSPACE));
    MemorySegment workspace =
        product.workspaceBytes() == 0
            ? MemorySegment.NULL
            : context.scratch("workspace", product.workspaceBytes());
    return context.counted(
        launch(context, family, a, transposeA, b, transposeB, d, groups),
        () -> product.run(context.stream, b.memory(), a.memory(), d.memory(), workspace));
  }

  private static Launch launch(
      CudaContext context,
      Family family,
      Operand a,
      boolean transposeA,
      Operand b,
      boolean transposeB,
      Operand d,
      int groups) {
    long inner = transposeA ? a.rows() : a.columns();
    String call =
        String.format(
                Locale.ROOT,
                "product %s %s%s %s",
                a.type(),
                transposeA ? "t" : "n",
                transposeB ? "t" : "n",
                d.type())
            .toLowerCase(Locale.ROOT);
    return context
        .work(family)
        .reads(groups * (a.bytes() + b.bytes()))
        .writes(groups * d.bytes())
        .flops(2L * groups * d.rows() * d.columns() * inner)
        .library(call, List.of(d.rows(), d.columns(), inner, (long) groups));
  }
}
