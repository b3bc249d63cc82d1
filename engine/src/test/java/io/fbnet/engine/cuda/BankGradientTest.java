package io.fbnet.engine.cuda;

import static io.fbnet.engine.cuda.DeviceArrays.BESIDE;
import static io.fbnet.engine.cuda.DeviceArrays.bf16;
import static io.fbnet.engine.cuda.DeviceArrays.number;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.cuda.BankProductTest.Case;
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
 * The gradients in the images of our products, and the sums that they leave for the gradient of a
 * norm, against the definition in double. The cases are those of the products, with the norm behind
 * instead of before them: a case's norm says only whether a ReLU follows it.
 */
class BankGradientTest {
  private static final long SEED = 20261130L;
  private static final CublasLtMatmul.Type BF16 = CublasLtMatmul.Type.BF16;
  private static final float UNTOUCHED = -77;

  static List<Case> cases() {
    return BankProductTest.cases();
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
    private final Random random = new Random(SEED);
    private final int wideA;
    private final int wideD;
    private final boolean relu;
    private final short[] a;
    private final short[] x;
    private final float[][] norm;

    /** For each factor, inner size by columns. */
    private final short[][] weights;

    Check(Case c, CudaContext context, DeviceArrays arrays) {
      this.c = c;
      this.context = context;
      this.arrays = arrays;
      wideA = c.width(c.inner());
      wideD = c.width(c.columns());
      relu = c.norm() == 2;
      a = new short[c.pixels() * wideA];
      x = new short[c.pixels() * wideD];
      norm = new float[4][wideD];
      weights = new short[c.inner().length][];
    }

    void run() {
      fill();
      MemorySegment results = context.backend.allocate(2L * x.length);
      Operand from = new Operand(arrays.images(a), BF16, c.pixels(), wideA, wideA, 0);
      Operand to = new Operand(results, BF16, c.pixels(), wideD, wideD, 0);
      int[] places = new int[4 * wideD];
      for (int ch = 0; ch < wideD; ch++) {
        // Backwards, beta's before gamma's.
        places[ch] = 2 * wideD - 1 - ch;
        places[wideD + ch] = wideD - 1 - ch;
      }
      float[] untouched = new float[2 * wideD];
      Arrays.fill(untouched, UNTOUCHED);
      MemorySegment means = arrays.floats(untouched);
      MemorySegment gradients = arrays.floats(untouched);
      CudaNorm.GradientSums of =
          new CudaNorm.GradientSums(
              arrays.images(x),
              wideD,
              new CudaNorm.Numbers(
                  arrays.floats(norm[0]),
                  arrays.floats(norm[1]),
                  arrays.floats(norm[2]),
                  arrays.floats(norm[3]),
                  relu),
              means,
              new CudaNorm.Gradients(gradients, gradients, arrays.ints(places)));
      List<BankProduct.Factor> factors = factors(from, to);
      Kernel kernel = BankProduct.gradient(context, from, to, factors, of, true);
      Kernel sumsAlone = BankProduct.gradient(context, from, to, factors, of, false);
      short[] beside = new short[x.length];
      Arrays.fill(beside, BESIDE);
      short[] images = null;
      float[] sums = null;
      // The last time nothing is stored.
      for (int run = 0; run < 4; run++) {
        arrays.write(results, beside);
        arrays.copy(untouched, means);
        arrays.copy(untouched, gradients);
        (run < 3 ? kernel : sumsAlone).launch();
        short[] nowImages = arrays.read(results, x.length);
        float[] now = new float[4 * wideD];
        System.arraycopy(arrays.floats(means, 2 * wideD), 0, now, 0, 2 * wideD);
        System.arraycopy(arrays.floats(gradients, 2 * wideD), 0, now, 2 * wideD, 2 * wideD);
        if (run > 0) {
          assertArrayEquals(run < 3 ? images : beside, nowImages, "run " + run + ", " + c);
          assertArrayEquals(sums, now, "run " + run + ", " + c);
        }
        images = run < 3 ? nowImages : images;
        sums = now;
      }
      compare(images);
      for (int ch = 0; ch < wideD; ch++) {
        compare(ch, images, sums);
      }
    }

    private void fill() {
      Arrays.fill(a, BESIDE);
      Arrays.fill(x, BESIDE);
      for (float[] numbers : norm) {
        Arrays.fill(numbers, Float.NaN);
      }
      for (int f = 0; f < weights.length; f++) {
        for (int p = 0; p < c.pixels(); p++) {
          for (int k = 0; k < c.inner()[f]; k++) {
            a[p * wideA + c.first(c.inner(), f) + k] =
                p == c.nan() ? BESIDE : bf16(random.nextGaussian());
          }
        }
        for (int n = 0; n < c.columns()[f]; n++) {
          int column = c.first(c.columns(), f) + n;
          for (int p = 0; p < c.pixels(); p++) {
            x[p * wideD + column] = bf16(c.offset() + random.nextGaussian());
          }
          norm[0][column] = (float) (c.offset() + random.nextGaussian());
          norm[1][column] = (float) (0.5 + random.nextDouble());
          norm[2][column] = (float) random.nextGaussian();
          norm[3][column] = (float) random.nextGaussian();
        }
        int pitch = c.columns()[f] + c.gap();
        weights[f] = new short[c.inner()[f] * pitch];
        Arrays.fill(weights[f], BESIDE);
        for (int k = 0; k < c.inner()[f]; k++) {
          for (int n = 0; n < c.columns()[f]; n++) {
            weights[f][k * pitch + n] = bf16(0.2 + 0.3 * random.nextGaussian());
          }
        }
      }
    }

    private List<BankProduct.Factor> factors(Operand from, Operand to) {
      int all = Arrays.stream(weights).mapToInt(w -> w.length).sum();
      short[] together = new short[all];
      MemorySegment packed = context.backend.allocate(2L * all);
      List<BankProduct.Factor> factors = new ArrayList<>();
      int at = 0;
      for (int f = 0; f < weights.length; f++) {
        System.arraycopy(weights[f], 0, together, at, weights[f].length);
        int columns = c.columns()[f];
        factors.add(
            new BankProduct.Factor(
                from.columns(c.first(c.inner(), f), c.inner()[f]),
                new Operand(
                    packed.asSlice(2L * at), BF16, c.inner()[f], columns, columns + c.gap(), 0),
                to.columns(c.first(c.columns(), f), columns)));
        at += weights[f].length;
      }
      arrays.write(packed, together);
      return factors;
    }

    private void compare(short[] images) {
      double largest = 0;
      for (int f = 0; f < weights.length; f++) {
        int pitch = c.columns()[f] + c.gap();
        for (int p = 0; p < c.pixels(); p++) {
          for (int n = 0; n < c.columns()[f]; n++) {
            double sum = 0;
            double size = 0;
            for (int k = 0; k < c.inner()[f]; k++) {
              double term =
                  number(a[p * wideA + c.first(c.inner(), f) + k])
                      * number(weights[f][k * pitch + n]);
              sum += term;
              size += Math.abs(term);
            }
            largest = Double.isNaN(sum) ? largest : Math.max(largest, Math.abs(sum));
            int place = p * wideD + c.first(c.columns(), f) + n;
            close(
                sum,
                (float) number(images[place]),
                1e-5 * size + 0.004 * Math.abs(sum),
                "d[%d] of %s, seed %d".formatted(place, c, SEED));
          }
        }
      }
      assertTrue(largest > 0.1, () -> "tested on zeros: " + c);
    }

    /** The sums are those of the gradient as it was written. */
    private void compare(int ch, short[] images, float[] actual) {
      String what = "channel " + ch + " of " + c + ", seed " + SEED;
      int gamma = 4 * wideD - 1 - ch;
      int beta = 3 * wideD - 1 - ch;
      if (x[ch] == BESIDE) {
        for (int p = 0; p < c.pixels(); p++) {
          assertEquals(BESIDE, images[p * wideD + ch], what);
        }
        for (int at : new int[] {ch, wideD + ch, gamma, beta}) {
          assertEquals(UNTOUCHED, actual[at], what);
        }
        return;
      }
      double sum = 0;
      double product = 0;
      double size = 0;
      for (int p = 0; p < c.pixels(); p++) {
        float centred = (float) number(x[p * wideD + ch]) - norm[0][ch];
        float normalised = centred * (norm[2][ch] * norm[1][ch]) + norm[3][ch];
        double d = relu && normalised <= 0 ? 0 : number(images[p * wideD + ch]);
        sum += d;
        product += d * centred * norm[1][ch];
        size += Math.abs(d) * (1 + Math.abs(centred));
      }
      double tolerance = 1e-5 * size;
      close(sum, actual[beta], tolerance, what);
      close(product, actual[gamma], tolerance, what);
      close(sum / c.pixels(), actual[ch], tolerance / c.pixels(), what);
      close(product / c.pixels(), actual[wideD + ch], tolerance / c.pixels(), what);
    }

    private static void close(double expected, float actual, double tolerance, String what) {
      if (Double.isNaN(expected)) {
        assertTrue(Float.isNaN(actual), what);
      } else {
        assertEquals(expected, actual, tolerance, what);
      }
    }
  }
}
