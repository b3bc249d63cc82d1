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
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The gradient of a norm folded into the products behind it, against that gradient in double: x
 * times the weights is normalised, and some gradient comes back.
 */
class BankFoldTest {
  private static final long SEED = 20261203L;
  private static final float EPSILON = 1e-3f;

  /**
   * Sizes.
   *
   * @param mean of x, whose deviation is 1
   */
  record Case(int pixels, int width, int channels, double mean) {}

  static List<Case> cases() {
    return List.of(
        new Case(64, 8, 8, 0),
        new Case(301, 352, 16, 0), // three chunks, whole vectors
        new Case(90, 130, 5, 0), // nothing aligned
        new Case(51, 200, 45, -1), // two tiles
        new Case(700, 264, 24, 8), // far from zero
        new Case(40, 9, 301, 0)); // more elements behind than a block has threads
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
    DeviceArrays.inBf16((context, arrays) -> new Check(c, context, arrays).run());
  }

  private static final class Check {
    private final Case c;
    private final CudaContext context;
    private final DeviceArrays arrays;
    private final Random random;
    private final int wide;

    /** Pixels by channels. */
    private final short[] x;

    /** Width by channels. */
    private final short[] w;

    /** Pixels by {@link #wide}; what the fold writes is NaN. */
    private final short[] images;

    /** Mean, inverse deviation, gamma, beta. */
    private final float[] numbers;

    /** Of the gradient, and of it times the normalised. */
    private final float[] means;

    /** What the norm's gradient is. */
    private final double[][] dy;

    Check(Case c, CudaContext context, DeviceArrays arrays) {
      this.c = c;
      this.context = context;
      this.arrays = arrays;
      random = new Random(SEED + c.hashCode());
      wide = BankFold.wide(c.width(), c.channels());
      // One more where words would be cut.
      x = new short[c.pixels() * c.channels() + 1 & ~1];
      w = new short[c.width() * c.channels() + 1 & ~1];
      images = new short[c.pixels() * wide];
      numbers = new float[4 * c.width()];
      means = new float[2 * c.width()];
      dy = new double[c.pixels()][c.width()];
      fill();
    }

    private void fill() {
      for (int i = 0; i < x.length; i++) {
        x[i] = DeviceArrays.bf16(c.mean() + random.nextGaussian());
      }
      for (int i = 0; i < w.length; i++) {
        w[i] = DeviceArrays.bf16(random.nextGaussian() / Math.sqrt(c.channels()));
      }
      for (int p = 0; p < c.pixels(); p++) {
        for (int e = 0; e < wide; e++) {
          double g = 0.3 + random.nextGaussian();
          images[p * wide + e] =
              e < c.width() ? DeviceArrays.bf16(g < 0 ? 0 : g) : DeviceArrays.BESIDE;
        }
      }
      for (int e = 0; e < c.width(); e++) {
        norm(e);
      }
    }

    private void norm(int e) {
      double[] y = new double[c.pixels()];
      double mean = 0;
      for (int p = 0; p < y.length; p++) {
        for (int i = 0; i < c.channels(); i++) {
          y[p] += at(x, p, i, c.channels()) * at(w, e, i, c.channels());
        }
        mean += y[p] / y.length;
      }
      double variance = 0;
      for (double v : y) {
        variance += (v - mean) * (v - mean) / y.length;
      }
      double inverse = 1 / Math.sqrt(variance + EPSILON);
      double gamma = random.nextGaussian();
      double first = 0;
      double second = 0;
      for (int p = 0; p < y.length; p++) {
        first += at(images, p, e, wide) / y.length;
        second += at(images, p, e, wide) * (y[p] - mean) * inverse / y.length;
      }
      for (int p = 0; p < y.length; p++) {
        double normalised = (y[p] - mean) * inverse;
        dy[p][e] = gamma * inverse * (at(images, p, e, wide) - first - normalised * second);
      }
      numbers[e] = (float) mean;
      numbers[c.width() + e] = (float) inverse;
      numbers[2 * c.width() + e] = (float) gamma;
      numbers[3 * c.width() + e] = (float) random.nextGaussian();
      means[e] = (float) first;
      means[c.width() + e] = (float) second;
    }

    private static double at(short[] matrix, int row, int column, int columns) {
      return DeviceArrays.number(matrix[row * columns + column]);
    }

    void run() {
      MemorySegment wideImages = arrays.images(images);
      MemorySegment numbersOf = arrays.floats(numbers);
      MemorySegment meansOf = arrays.floats(means);
      BankFold fold =
          new BankFold(
              context, operand(arrays.images(x), c.pixels()), operand(arrays.images(w), c.width()));
      int channels = c.channels();
      float[] beside = new float[c.width() * channels + 1];
      beside[beside.length - 1] = 77;
      MemorySegment dw = arrays.floats(beside);
      MemorySegment product = context.backend.allocate(4L * wide * channels);
      Kernel prepare = fold.prepare(wideImages, numbersOf, meansOf);
      Kernel weights = fold.weights(product, numbersOf, meansOf, rows(dw));
      short[] firstFactors = null;
      float[] first = null;
      for (int run = 0; run < 3; run++) {
        arrays.write(wideImages, images);
        arrays.copy(beside, dw);
        prepare.launch();
        short[] factors = arrays.read(fold.factors().memory(), wide * channels);
        short[] both = arrays.read(wideImages, images.length);
        requireData(both, factors);
        arrays.copy(transposedProduct(both), product);
        weights.launch();
        float[] gradients = arrays.floats(dw, beside.length);
        requireWeights(gradients);
        if (run > 0) {
          assertArrayEquals(firstFactors, factors, "run " + run + " of " + c);
          assertArrayEquals(first, gradients, "run " + run + " of " + c);
        }
        firstFactors = factors;
        first = gradients;
      }
    }

    private Operand operand(MemorySegment memory, int rows) {
      return new Operand(memory, CublasLtMatmul.Type.BF16, rows, c.channels(), c.channels(), 0);
    }

    /** Backwards; of each row the first and the last column go nowhere. */
    private List<BankWeights.Row> rows(MemorySegment dw) {
      List<BankWeights.Row> rows = new ArrayList<>();
      for (int e = 0; e < c.width(); e++) {
        long place = (long) (c.width() - 1 - e) * c.channels() + 1;
        rows.add(new BankWeights.Row(dw.asSlice(Float.BYTES * place), 1, c.channels() - 2));
      }
      return rows;
    }

    /** What x-gradients the product of both gives, apart only by the factors' rounding. */
    private void requireData(short[] both, short[] factors) {
      double error = 0;
      double all = 0;
      double[] sums = new double[c.channels()];
      for (int p = 0; p < c.pixels(); p++) {
        for (int i = 0; i < c.channels(); i++) {
          double expected = 0;
          for (int e = 0; e < c.width(); e++) {
            expected += dy[p][e] * at(w, e, i, c.channels());
          }
          double actual = 0;
          for (int e = 0; e < wide; e++) {
            actual += at(both, p, e, wide) * at(factors, e, i, c.channels());
          }
          error += Math.pow(actual - expected, 2);
          all += expected * expected;
          sums[i] += actual - expected;
        }
      }
      String what = "dx of " + c + ", seed " + SEED;
      assertTrue(all > 0.01 * c.pixels(), what);
      assertTrue(
          Math.sqrt(error / all) < 0.01 * (1 + 0.1 * Math.abs(c.mean())),
          what + ": " + error / all);
      double size = Math.sqrt(all / c.channels() / c.pixels());
      for (double sum : sums) {
        // The mean of the gradient is zero; roundings of the factors must not move it.
        assertEquals(0, sum / c.pixels() / size, 2e-3 * (1 + 2 * Math.abs(c.mean())), what);
      }
    }

    private float[] transposedProduct(short[] both) {
      float[] product = new float[wide * c.channels()];
      for (int e = 0; e < wide; e++) {
        for (int i = 0; i < c.channels(); i++) {
          double sum = 0;
          for (int p = 0; p < c.pixels(); p++) {
            sum += at(both, p, e, wide) * at(x, p, i, c.channels());
          }
          product[e * c.channels() + i] = (float) sum;
        }
      }
      return product;
    }

    private void requireWeights(float[] dw) {
      for (int e = 0; e < c.width(); e++) {
        for (int i = 0; i < c.channels(); i++) {
          double expected = 0;
          double size = 0;
          for (int p = 0; p < c.pixels(); p++) {
            double each = dy[p][e] * at(x, p, i, c.channels());
            expected += each;
            size += Math.abs(each);
          }
          boolean written = i > 0 && i < c.channels() - 1;
          assertEquals(
              written ? expected : 0,
              dw[(c.width() - 1 - e) * c.channels() + i],
              1e-5 * size,
              "dw[%d][%d] of %s, seed %d".formatted(e, i, c, SEED));
        }
      }
      assertEquals(77, dw[dw.length - 1], "beside dw of " + c);
    }
  }
}
