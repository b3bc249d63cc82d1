package io.fbnet.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.program.Devices;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The gradient of grouped 1x1 convolutions' weights by our kernel, against double. */
class GroupedWeightsTest {
  private static final long SEED = 20261202L;

  /** Sizes of a convolution; groups divide both channels. */
  record Case(int pixels, int inputs, int outputs, int groups) {}

  static List<Case> cases() {
    List<Case> cases =
        new ArrayList<>(
            List.of(
                new Case(1, 24, 24, 2),
                new Case(37, 24, 24, 2),
                new Case(129, 3, 3, 3), // one channel a group: words that no pair is aligned for
                new Case(1001, 14, 14, 2), // odd groups
                new Case(333, 112, 112, 2), // all units, small tiles
                new Case(90, 40, 24, 8),
                new Case(1500, 64, 32, 2),
                new Case(5000, 16, 16, 2))); // parts in two levels
    Random random = new Random(SEED);
    for (int i = 0; i < 12; i++) {
      int groups = 2 + random.nextInt(3);
      int most = 64 / groups;
      cases.add(
          new Case(
              1 + random.nextInt(700),
              groups * (1 + random.nextInt(most)),
              groups * (1 + random.nextInt(most)),
              groups));
    }
    return cases;
  }

  @AfterEach
  void freshDevice() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  private static CudaBackend open(Precision precision) {
    return Devices.cuda(new CudaOptions(precision, true, true, true));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithTheDefinition(Case c) {
    if (SoftwareCuda.present()) {
      SoftwareCuda.multiprocessors(132);
    }
    check(c);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithThreadsInDescendingOrder(Case c) {
    Devices.open("cuda, descending").close();
    check(c);
  }

  private static void check(Case c) {
    try (CudaBackend backend = open(Precision.BF16);
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      DeviceArrays arrays = new DeviceArrays(backend, arena);
      Random random = new Random(SEED + c.hashCode());
      short[] x = images(random, c.pixels() * c.inputs());
      short[] dy = images(random, c.pixels() * c.outputs());
      int inputs = c.inputs() / c.groups();
      int outputs = c.outputs() / c.groups();
      double[] expected = new double[c.outputs() * inputs];
      double[] size = new double[expected.length];
      for (int p = 0; p < c.pixels(); p++) {
        for (int i = 0; i < expected.length; i++) {
          int o = i / inputs;
          double product =
              DeviceArrays.number(dy[p * c.outputs() + o])
                  * DeviceArrays.number(x[p * c.inputs() + o / outputs * inputs + i % inputs]);
          expected[i] += product;
          size[i] += Math.abs(product);
        }
      }
      assertTrue(GroupedWeights.serves(context, c.inputs(), c.outputs(), c.groups()));
      float[] beside = new float[expected.length + 1];
      beside[expected.length] = 77;
      MemorySegment dw = arrays.floats(beside);
      Kernel kernel =
          GroupedWeights.of(
              context,
              arrays.images(x),
              arrays.images(dy),
              dw,
              c.pixels(),
              c.inputs(),
              c.outputs(),
              c.groups());
      float[] first = null;
      for (int run = 0; run < 3; run++) {
        arrays.copy(beside, dw);
        kernel.launch();
        float[] now = arrays.floats(dw, expected.length + 1);
        for (int i = 0; i < expected.length; i++) {
          assertEquals(
              expected[i],
              now[i],
              1e-5 * size[i],
              "dw[%d] of %s, run %d, seed %d".formatted(i, c, run, SEED));
        }
        assertEquals(77, now[expected.length], "beside dw of " + c);
        if (first != null) {
          assertArrayEquals(first, now, "run " + run + " of " + c);
        }
        first = now;
      }
      context.close();
    }
  }

  /** Neither zeros nor of one sign; an even number of elements, as they go up in words. */
  private static short[] images(Random random, int n) {
    short[] v = new short[n + n % 2];
    for (int i = 0; i < v.length; i++) {
      v[i] = DeviceArrays.bf16(0.2 + random.nextGaussian());
    }
    return v;
  }

  @Test
  void whatDoesNotFitIsLeftToTheLibrary() {
    try (CudaBackend backend = open(Precision.BF16)) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      assertFalse(GroupedWeights.serves(context, 24, 24, 1), "one group is a plain product");
      assertFalse(GroupedWeights.serves(context, 184, 184, 2), "more units than warps");
      assertFalse(GroupedWeights.serves(context, 256, 256, 16), "more groups than warps");
      context.close();
    }
    try (CudaBackend backend = open(Precision.F32)) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      assertFalse(GroupedWeights.serves(context, 24, 24, 2), "f32");
      context.close();
    }
    if (SoftwareCuda.present()) {
      SoftwareCuda.capability(75);
      try (CudaBackend backend = open(Precision.BF16)) {
        CudaContext context = new CudaContext(backend, List.of(), Map.of());
        assertFalse(GroupedWeights.serves(context, 24, 24, 2), "no tensor cores for bf16");
        context.close();
      }
    }
  }
}
