package io.fbnet.engine.cuda;

import static io.fbnet.engine.cuda.DeviceArrays.BESIDE;
import static io.fbnet.engine.cuda.DeviceArrays.bf16;
import static io.fbnet.engine.cuda.DeviceArrays.number;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
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
 * The gradient of last convolutions and of the norm before them in one kernel, with the sums of the
 * weights' gradient's parts, against the definition in double.
 */
class ProjectGradientTest {
  private static final long SEED = 20261204L;
  private static final CublasLtMatmul.Type BF16 = CublasLtMatmul.Type.BF16;

  /**
   * Sizes.
   *
   * @param columns of each candidate
   * @param mean of what the norm read, whose deviation is 1
   */
  record Case(int pixels, int inner, List<Integer> columns, double mean, boolean relu) {}

  static List<Case> cases() {
    return List.of(
        new Case(1, 8, List.of(8), 0, true),
        new Case(63, 16, List.of(64, 8, 72), 0, true),
        new Case(130, 24, List.of(24, 136), 0, false), // inner size no multiple of a product's
        new Case(500, 32, List.of(32, 96), -5, true),
        new Case(200, 40, List.of(16, 80), 0, true), // the wide kernel
        new Case(333, 64, List.of(64, 72), 3, true),
        new Case(9000, 8, List.of(8), 0, true)); // more parts than are added at once
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
    SoftwareCuda.multiprocessors(132);
    check(c);
  }

  private static void check(Case c) {
    DeviceArrays.inBf16((context, arrays) -> new Check(c, context, arrays).run());
  }

  /** One case on one device. */
  private static final class Check {
    private final Case c;
    private final CudaContext context;
    private final DeviceArrays arrays;
    private final Random random;
    private final int all;
    private final int outputs;

    /** Pixels by the candidates' outputs. */
    private final short[] a;

    /** Pixels by all columns. */
    private final short[] x;

    /** One behind the other, outputs by columns, with eight more from row to row. */
    private final short[] weights;

    private final float[] norm;
    private final float[] means;

    Check(Case c, CudaContext context, DeviceArrays arrays) {
      this.c = c;
      this.context = context;
      this.arrays = arrays;
      random = new Random(SEED + c.hashCode());
      all = c.columns().stream().mapToInt(Integer::intValue).sum();
      outputs = c.inner() * c.columns().size();
      a = random(c.pixels() * outputs, 0.1, 1);
      x = random(c.pixels() * all, c.mean(), 1);
      weights = random(c.inner() * (all + 8 * c.columns().size()), 0.1, 0.4);
      norm = new float[4 * all];
      means = new float[2 * all];
      for (int ch = 0; ch < all; ch++) {
        norm[ch] = (float) (c.mean() + 0.1 * random.nextGaussian());
        norm[all + ch] = (float) (0.5 + random.nextDouble());
        norm[2 * all + ch] = (float) random.nextGaussian();
        norm[3 * all + ch] = (float) random.nextGaussian();
        means[ch] = (float) random.nextGaussian();
        means[all + ch] = (float) random.nextGaussian();
      }
    }

    private short[] random(int n, double mean, double deviation) {
      short[] v = new short[n + 1 & ~1];
      for (int i = 0; i < v.length; i++) {
        v[i] = bf16(mean + deviation * random.nextGaussian());
      }
      return v;
    }

    void run() {
      short[] beside = new short[x.length];
      Arrays.fill(beside, BESIDE);
      MemorySegment result = arrays.images(beside);
      Operand from = operand(arrays.images(a), outputs);
      Operand read = operand(arrays.images(x), all);
      Operand to = operand(result, all);
      ProjectGradient gradient =
          new ProjectGradient(context, from, read, to, factors(arrays.images(weights), from, to));
      MemorySegment numbers = arrays.floats(norm);
      long each = 4L * all;
      CudaNorm.Numbers of =
          new CudaNorm.Numbers(
              numbers,
              numbers.asSlice(each),
              numbers.asSlice(2 * each),
              numbers.asSlice(3 * each),
              c.relu());
      MemorySegment meansOf = arrays.floats(means);
      gradient.kernel(of, meansOf, false).launch();
      short[] images = arrays.read(result, x.length);
      Kernel kernel = gradient.kernel(of, meansOf, true);
      MemorySegment sums = arrays.floats(new float[c.inner() * all]);
      CudaRuns runs = new CudaRuns();
      for (int i = 0; i < c.columns().size(); i++) {
        ProjectGradient.Parts parts = gradient.weights(i);
        runs.addSum(
            parts.first(),
            parts.parts(),
            parts.apart(),
            sums.asSlice(4L * c.inner() * before(i)),
            (long) c.inner() * c.columns().get(i));
      }
      Kernel adding = runs.kernel(context, Family.WEIGHTS_END);
      float[] first = null;
      for (int run = 0; run < 3; run++) {
        arrays.write(result, beside);
        kernel.launch();
        adding.launch();
        // What it leaves beside changes nothing of the images.
        assertArrayEquals(images, arrays.read(result, x.length), c.toString());
        float[] now = arrays.floats(sums, c.inner() * all);
        if (run > 0) {
          assertArrayEquals(first, now, "run " + run + " of " + c);
        }
        first = now;
      }
      for (int i = 0; i < c.columns().size(); i++) {
        for (int column = 0; column < c.columns().get(i); column++) {
          compare(i, column, images, first);
        }
      }
    }

    private Operand operand(MemorySegment memory, int columns) {
      return new Operand(memory, BF16, c.pixels(), columns, columns, 0);
    }

    private int before(int candidate) {
      return c.columns().subList(0, candidate).stream().mapToInt(Integer::intValue).sum();
    }

    private int pitch(int candidate) {
      return c.columns().get(candidate) + 8;
    }

    private int weight(int candidate) {
      return c.inner() * (before(candidate) + 8 * candidate);
    }

    private List<BankProduct.Factor> factors(MemorySegment packed, Operand from, Operand to) {
      List<BankProduct.Factor> factors = new ArrayList<>();
      for (int i = 0; i < c.columns().size(); i++) {
        int columns = c.columns().get(i);
        factors.add(
            new BankProduct.Factor(
                from.columns((long) i * c.inner(), c.inner()),
                new Operand(packed.asSlice(2L * weight(i)), BF16, c.inner(), columns, pitch(i), 0),
                to.columns(before(i), columns)));
      }
      return factors;
    }

    private void compare(int candidate, int column, short[] images, float[] dw) {
      int ch = before(candidate) + column;
      String what = "channel %d of %s, seed %d".formatted(ch, c, SEED);
      double scale = norm[2 * all + ch] * norm[all + ch];
      double[] expected = new double[c.inner()];
      double[] size = new double[c.inner()];
      double largest = 0;
      for (int p = 0; p < c.pixels(); p++) {
        double g = 0;
        for (int k = 0; k < c.inner(); k++) {
          g +=
              number(a[p * outputs + candidate * c.inner() + k])
                  * number(weights[weight(candidate) + k * pitch(candidate) + column]);
        }
        double centred = number(x[p * all + ch]) - norm[ch];
        double normalised = centred * scale + norm[3 * all + ch];
        double masked = c.relu() && normalised <= 0 ? 0 : number(bf16(g));
        double d = scale * (masked - means[ch] - centred * norm[all + ch] * means[all + ch]);
        // Of g a half of its last bit may be rounded the other way.
        double near = 0.004 * Math.abs(d) + 0.008 * Math.abs(scale * g) + 1e-3;
        assertEquals(d, number(images[p * all + ch]), near, what);
        largest = Math.max(largest, Math.abs(d));
        double made = number(bf16(c.relu() ? Math.max(0, normalised) : normalised));
        for (int k = 0; k < c.inner(); k++) {
          double term = number(a[p * outputs + candidate * c.inner() + k]) * made;
          expected[k] += term;
          size[k] += Math.abs(term);
        }
      }
      assertTrue(largest > 0.01 * Math.abs(scale), "tested on zeros: " + what);
      for (int k = 0; k < c.inner(); k++) {
        float actual = dw[c.inner() * before(candidate) + k * c.columns().get(candidate) + column];
        assertEquals(expected[k], actual, 1e-3 * size[k] + 1e-6, "dw of output " + k + ", " + what);
      }
    }
  }
}
