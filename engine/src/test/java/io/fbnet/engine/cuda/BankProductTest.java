package io.fbnet.engine.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.cuda.CudaProduct.Operand;
import io.fbnet.engine.program.Devices;
import io.fbnet.foreign.CublasLtMatmul;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Our products of several factors at once, against the definition in double. What lies beside the
 * factors' columns is NaN where it is read and must stay as it was where results are written.
 */
class BankProductTest {
  private static final long SEED = 20261129L;
  private static final CublasLtMatmul.Type BF16 = CublasLtMatmul.Type.BF16;

  private static final short BESIDE = DeviceArrays.BESIDE;

  private static final float EPSILON = 1e-3f;
  private static final float MOMENTUM = 0.25f;

  /**
   * A case.
   *
   * @param inner of each factor
   * @param columns of each factor
   * @param gap columns without a factor before each one's, in a, in w and in d
   * @param norm 0 without one, 1 with one, 2 with a ReLU behind it
   * @param offset what is added to a, so that results are far from zero
   * @param nan a row of a that has no number, or -1
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Case(int pixels, int[] inner, int[] columns, int gap, int norm, double offset, int nan) {
    @Override
    public String toString() {
      return "%d pixels, inner %s, columns %s, gap %d, norm %d, offset %s, NaN in %d"
          .formatted(
              pixels, Arrays.toString(inner), Arrays.toString(columns), gap, norm, offset, nan);
    }

    int width(int[] of) {
      return of.length * gap + Arrays.stream(of).sum();
    }

    int first(int[] of, int factor) {
      return (factor + 1) * gap + Arrays.stream(of, 0, factor).sum();
    }
  }

  static List<Case> cases() {
    int[][][] sizes = {
      {{16}, {24}}, // one narrow tile
      {{8}, {8}}, // the smallest
      {{24}, {136}}, // wide tiles, of which the last is not full
      {{72, 40, 16}, {40, 40, 40}}, // several, of different inner sizes
      {{96, 8, 48, 32}, {16, 16, 16, 16}}, // several narrow ones
    };
    List<Case> cases = new ArrayList<>();
    for (int[][] s : sizes) {
      for (int pixels : new int[] {1, 77, 128, 129, 1003}) {
        int i = cases.size();
        cases.add(new Case(pixels, s[0], s[1], i % 2 * 8, i % 3, i % 4 == 3 ? 50 : 0.1, -1));
      }
    }
    cases.add(new Case(301, new int[] {40}, new int[] {72}, 8, 2, 0.1, 130));
    cases.add(new Case(301, new int[] {16, 32}, new int[] {8, 8}, 0, 0, 0.1, 300));
    return cases;
  }

  @AfterEach
  void freshDevice() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithTheDefinition(Case c) {
    check(c);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithThreadsInDescendingOrderAndManyParts(Case c) {
    Devices.open("cuda, descending").close();
    // Room for a block for each tile of pixels.
    SoftwareCuda.multiprocessors(132);
    check(c);
  }

  private static void check(Case c) {
    DeviceArrays.inBf16((context, arrays) -> new Check(c, context.backend, context, arrays).run());
  }

  /** One case on one device. */
  private static final class Check {
    private final Case c;
    private final CudaBackend backend;
    private final CudaContext context;
    private final DeviceArrays arrays;
    private final Random random = new Random(SEED);
    private final int wideA;
    private final int wideD;

    Check(Case c, CudaBackend backend, CudaContext context, DeviceArrays arrays) {
      this.c = c;
      this.backend = backend;
      this.context = context;
      this.arrays = arrays;
      wideA = c.width(c.inner());
      wideD = c.width(c.columns());
    }

    void run() {
      short[] a = new short[c.pixels() * wideA];
      Arrays.fill(a, BESIDE);
      float[][] norm = new float[4][wideA];
      for (float[] numbers : norm) {
        Arrays.fill(numbers, Float.NaN);
      }
      for (int f = 0; f < c.inner().length; f++) {
        for (int k = 0; k < c.inner()[f]; k++) {
          int column = c.first(c.inner(), f) + k;
          for (int p = 0; p < c.pixels(); p++) {
            a[p * wideA + column] =
                p == c.nan() ? BESIDE : DeviceArrays.bf16(c.offset() + gaussian());
          }
          norm[0][column] = (float) (c.offset() + gaussian());
          norm[1][column] = (float) (0.5 + random.nextDouble());
          norm[2][column] = (float) gaussian();
          norm[3][column] = (float) (1 + gaussian());
        }
      }
      MemorySegment device = arrays.images(a);
      MemorySegment results = backend.allocate(2L * c.pixels() * wideD);
      List<BankProduct.Factor> factors = new ArrayList<>();
      double[] expected = new double[c.pixels() * wideD];
      Arrays.fill(expected, Double.NEGATIVE_INFINITY);
      Operand from = new Operand(device, BF16, c.pixels(), wideA, wideA, 0);
      Operand to = new Operand(results, BF16, c.pixels(), wideD, wideD, 0);
      short[][] weights = weights();
      int all = Arrays.stream(weights).mapToInt(w -> w.length).sum();
      short[] together = new short[all];
      MemorySegment packed = backend.allocate(2L * all);
      int at = 0;
      for (int f = 0; f < weights.length; f++) {
        System.arraycopy(weights[f], 0, together, at, weights[f].length);
        factors.add(
            new BankProduct.Factor(
                from.columns(c.first(c.inner(), f), c.inner()[f]),
                new Operand(
                    packed.asSlice(2L * at),
                    BF16,
                    c.columns()[f],
                    c.inner()[f],
                    c.inner()[f] + c.gap(),
                    0),
                to.columns(c.first(c.columns(), f), c.columns()[f])));
        define(f, a, norm, weights[f], expected);
        at += weights[f].length;
      }
      arrays.write(packed, together);
      CudaNorm.Numbers read =
          c.norm() == 0
              ? null
              : new CudaNorm.Numbers(
                  arrays.floats(norm[0]),
                  arrays.floats(norm[1]),
                  arrays.floats(norm[2]),
                  arrays.floats(norm[3]),
                  c.norm() == 2);
      Kernel plain = BankProduct.of(context, from, read, to, factors, null);
      clear(results);
      plain.launch();
      short[] first = arrays.read(results, c.pixels() * wideD);
      compare(first, expected);
      statistics(from, read, to, factors, first);
    }

    private short[][] weights() {
      short[][] weights = new short[c.inner().length][];
      for (int f = 0; f < weights.length; f++) {
        int pitch = c.inner()[f] + c.gap();
        weights[f] = new short[c.columns()[f] * pitch];
        Arrays.fill(weights[f], BESIDE);
        for (int n = 0; n < c.columns()[f]; n++) {
          for (int k = 0; k < c.inner()[f]; k++) {
            weights[f][n * pitch + k] = DeviceArrays.bf16(0.2 + 0.3 * gaussian());
          }
        }
      }
      return weights;
    }

    private void define(int f, short[] a, float[][] norm, short[] w, double[] expected) {
      int pitch = c.inner()[f] + c.gap();
      for (int p = 0; p < c.pixels(); p++) {
        for (int n = 0; n < c.columns()[f]; n++) {
          double sum = 0;
          for (int k = 0; k < c.inner()[f]; k++) {
            int column = c.first(c.inner(), f) + k;
            sum +=
                seen(DeviceArrays.number(a[p * wideA + column]), norm, column)
                    * DeviceArrays.number(w[n * pitch + k]);
          }
          expected[p * wideD + c.first(c.columns(), f) + n] = sum;
        }
      }
    }

    private double seen(double v, float[][] norm, int column) {
      if (c.norm() == 0) {
        return v;
      }
      double normalised =
          (v - norm[0][column]) * norm[1][column] * norm[2][column] + norm[3][column];
      double kept = c.norm() == 2 && normalised < 0 ? 0 : normalised;
      return DeviceArrays.number(DeviceArrays.bf16(kept));
    }

    private void compare(short[] actual, double[] expected) {
      double largest =
          Arrays.stream(expected).filter(Double::isFinite).map(Math::abs).max().orElseThrow();
      assertTrue(largest > 0.1, () -> "tested on zeros: " + c);
      for (int i = 0; i < expected.length; i++) {
        int place = i;
        if (expected[i] == Double.NEGATIVE_INFINITY) {
          assertEquals(BESIDE, actual[i], () -> "beside the columns, " + place + ", " + c);
        } else {
          assertEquals(
              expected[i],
              DeviceArrays.number(actual[i]),
              6e-3 * largest,
              () -> "d[%d] of %s, seed %d".formatted(place, c, SEED));
        }
      }
    }

    /** With statistics the same bits come out, and the numbers are those of what came out. */
    private void statistics(
        Operand from,
        CudaNorm.Numbers read,
        Operand to,
        List<BankProduct.Factor> factors,
        short[] images) {
      int[] places = new int[4 * wideD];
      for (int i = 0; i < 4; i++) {
        for (int ch = 0; ch < wideD; ch++) {
          // Backwards, gamma before beta and running mean before running variance.
          places[i * wideD + ch] = (i % 2) * wideD + wideD - 1 - ch;
        }
      }
      float[] parameters = new float[2 * wideD];
      float[] before = new float[2 * wideD];
      for (int i = 0; i < parameters.length; i++) {
        parameters[i] = (float) gaussian();
        before[i] = (float) (1 + random.nextDouble());
      }
      MemorySegment running = arrays.floats(before);
      float[] untouched = new float[4 * wideD];
      Arrays.fill(untouched, -77);
      MemorySegment into = arrays.floats(untouched);
      MemorySegment gamma = arrays.floats(parameters);
      MemorySegment packed = into.asSlice(8L * wideD);
      MemorySegment places32 = arrays.ints(places);
      CudaNorm.Statistics left =
          new CudaNorm.Statistics(
              into,
              into.asSlice(4L * wideD),
              running,
              running,
              arrays.floats(new float[] {MOMENTUM}),
              EPSILON,
              places32,
              gamma,
              packed);
      Kernel kernel = BankProduct.of(context, from, read, to, factors, left);
      float[] bits = null;
      for (int run = 0; run < 3; run++) {
        clear(to.memory());
        arrays.copy(before, running);
        arrays.copy(untouched, into);
        kernel.launch();
        assertArrayEquals(images, arrays.read(to.memory(), images.length), c.toString());
        float[] now = new float[6 * wideD];
        System.arraycopy(arrays.floats(into, 4 * wideD), 0, now, 0, 4 * wideD);
        System.arraycopy(arrays.floats(running, 2 * wideD), 0, now, 4 * wideD, 2 * wideD);
        if (bits != null) {
          assertArrayEquals(bits, now, "run " + run + ", " + c);
        }
        bits = now;
      }
      for (int ch = 0; ch < wideD; ch++) {
        check(ch, images, parameters, before, bits);
      }
    }

    private void check(int ch, short[] images, float[] parameters, float[] before, float[] actual) {
      int mirrored = wideD - 1 - ch;
      String what = "channel " + ch + " of " + c + ", seed " + SEED;
      if (images[ch] == BESIDE) {
        for (int i = 0; i < 4; i++) {
          assertEquals(-77, actual[i * wideD + ch], what);
        }
        assertEquals(before[mirrored], actual[4 * wideD + mirrored], what);
        return;
      }
      double mean = 0;
      for (int p = 0; p < c.pixels(); p++) {
        mean += DeviceArrays.number(images[p * wideD + ch]) / c.pixels();
      }
      double squares = 0;
      for (int p = 0; p < c.pixels(); p++) {
        squares += Math.pow(DeviceArrays.number(images[p * wideD + ch]) - mean, 2);
      }
      double deviation = Math.sqrt(squares / c.pixels() + EPSILON);
      double unbiased = c.pixels() > 1 ? squares / (c.pixels() - 1) : 0;
      close(mean, actual[ch], 1e-5 * (Math.abs(mean) + deviation), what);
      close(1 / deviation, actual[wideD + ch], 1e-4 / deviation, what);
      assertEquals(parameters[mirrored], actual[2 * wideD + ch], what);
      assertEquals(parameters[wideD + mirrored], actual[3 * wideD + ch], what);
      double keeps = 1 - MOMENTUM;
      close(
          keeps * before[mirrored] + MOMENTUM * mean,
          actual[4 * wideD + mirrored],
          1e-5 * (1 + Math.abs(mean) + deviation),
          what);
      close(
          keeps * before[wideD + mirrored] + MOMENTUM * unbiased,
          actual[5 * wideD + mirrored],
          1e-4 * (1 + unbiased),
          what);
    }

    private static void close(double expected, float actual, double tolerance, String what) {
      if (Double.isNaN(expected)) {
        assertTrue(Float.isNaN(actual), what);
      } else {
        assertEquals(expected, actual, tolerance, what);
      }
    }

    private double gaussian() {
      return random.nextGaussian();
    }

    private void clear(MemorySegment images) {
      short[] beside = new short[c.pixels() * wideD];
      Arrays.fill(beside, BESIDE);
      arrays.write(images, beside);
    }
  }
}
