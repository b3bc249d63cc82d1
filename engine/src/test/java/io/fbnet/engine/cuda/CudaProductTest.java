package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.program.Devices;
import io.fbnet.foreign.CublasLtMatmul;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Grouped products: one batched call, and one call a group where there is no batched algorithm. */
class CudaProductTest {
  private static final long SEED = 20260114L;
  private static final int ROWS = 35;
  private static final int INNER = 6;
  private static final int COLUMNS = 4;
  private static final int GROUPS = 3;

  private static MemorySegment random(CudaBackend backend, Arena arena, Random random, int n) {
    MemorySegment host = arena.allocate(4L * n, 64);
    for (int i = 0; i < n; i++) {
      host.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    MemorySegment memory = backend.allocate(4L * n);
    backend.copyIn(host, memory, n);
    return memory;
  }

  private static float[] read(CudaBackend backend, Arena arena, MemorySegment memory, int n) {
    MemorySegment host = arena.allocate(4L * n, 64);
    backend.copyOut(memory, host, n);
    return host.toArray(JAVA_FLOAT);
  }

  @Test
  void oneByOneIsTheSameAsBatched() {
    CublasLtMatmul.Type f32 = CublasLtMatmul.Type.F32;
    try (CudaBackend backend = Devices.cuda(new CudaOptions(Precision.F32, true, true, true));
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      Random random = new Random(SEED);
      int wideA = GROUPS * INNER;
      int wideD = GROUPS * COLUMNS;
      MemorySegment a = random(backend, arena, random, ROWS * wideA);
      MemorySegment b = random(backend, arena, random, COLUMNS * INNER * GROUPS);
      float[][] results = new float[2][];
      for (int way = 0; way < 2; way++) {
        MemorySegment d = backend.allocate(4L * ROWS * wideD);
        Operand left = new Operand(a, f32, ROWS, INNER, wideA, INNER);
        Operand right = new Operand(b, f32, COLUMNS, INNER, INNER, COLUMNS * INNER);
        Operand result = new Operand(d, f32, ROWS, COLUMNS, wideD, COLUMNS);
        Kernel product =
            way == 0
                ? CudaProduct.batched(
                    context, Family.POINTWISE, left, false, right, true, result, GROUPS)
                : CudaProduct.oneByOne(
                    context, Family.POINTWISE, left, false, right, true, result, GROUPS);
        product.launch();
        results[way] = read(backend, arena, d, ROWS * wideD);
      }
      float largest = 0;
      for (float v : results[0]) {
        largest = Math.max(largest, Math.abs(v));
      }
      assertTrue(largest > 1, "tested on zeros");
      assertArrayEquals(results[0], results[1], 1e-5f * largest, "seed " + SEED);
      context.close();
    }
  }
}
