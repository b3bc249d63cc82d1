package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaDepthwise.Norm;
import io.fbnet.engine.cuda.CudaDepthwise.Sizes;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.program.Devices;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Depthwise convolutions over slices of the channels of wider images, against the definition in
 * double. What lies beside a slice is NaN where it is read and must stay as it was where a slice is
 * written.
 */
class CudaDepthwiseTest {
  private static final long SEED = 20261128L;

  /**
   * Some channels of images.
   *
   * @param channels of the slice
   * @param width channels of the images that x is a slice of
   * @param from first channel of the slice of x
   * @param widthY the same of y
   * @param fromY the same of y
   */
  record Channels(int channels, int width, int from, int widthY, int fromY) {}

  record Case(Channels c, int n, int h, int w, int kernel, int stride, boolean bf16, int norm) {
    int outputs(int side) {
      return (side + stride - 1) / stride;
    }

    /** Whether x is normalised while it is read; 2 stands for a norm with a ReLU. */
    boolean normalised() {
      return norm > 0;
    }
  }

  static List<Case> cases() {
    List<Case> cases = new ArrayList<>();
    int[][] images = {{2, 11, 21}, {3, 7, 7}, {2, 18, 4}, {1, 1, 2}};
    Channels[] channels = {
      new Channels(7, 19, 5, 9, 1), // odd everything
      new Channels(8, 24, 8, 40, 16), // vectors
      new Channels(40, 72, 16, 40, 0), // vectors, a second tile of channels that is not full
      new Channels(8, 48, 4, 12, 2), // vectors in f32 alone; pairs
      new Channels(6, 10, 1, 12, 5), // even numbers that no pair is aligned for
      new Channels(33, 33, 0, 34, 1), // a tile of one channel
      new Channels(1, 3, 2, 1, 0),
    };
    int norm = 0;
    for (Channels c : channels) {
      for (int[] s : images) {
        for (int kernel : new int[] {3, 5}) {
          for (int stride : new int[] {1, 2}) {
            boolean bf16 = (cases.size() / 16 + cases.size() / 4) % 2 == 1;
            cases.add(new Case(c, s[0], s[1], s[2], kernel, stride, bf16, norm++ % 3));
          }
        }
      }
    }
    return cases;
  }

  /** So many tiles of pixels that their sums are added in two levels, and in three. */
  static List<Case> manyParts() {
    Channels c = new Channels(6, 16, 8, 8, 0);
    return List.of(
        new Case(c, 3, 33, 33, 3, 1, false, 2),
        new Case(c, 5, 33, 33, 5, 1, true, 0),
        new Case(c, 9, 34, 33, 5, 2, false, 0),
        new Case(c, 22, 33, 33, 3, 1, true, 1));
  }

  /**
   * Those that run on tensor cores: every shape of their tiles, images smaller than the filter, and
   * more images than a tile has.
   */
  static List<Case> products() {
    Random random = new Random(SEED);
    int[][] images = {
      {5, 7, 7}, {1, 9, 33}, {3, 14, 15}, {9, 8, 5}, {1, 2, 3}, {1, 41, 6}, {2, 13, 7}
    };
    List<Case> cases = new ArrayList<>();
    for (int[] s : images) {
      for (int aligned : new int[] {8, 8, 2, 1}) {
        int c = aligned * (1 + random.nextInt(64 / aligned));
        int from = aligned * random.nextInt(3);
        int fromY = aligned * random.nextInt(3);
        int width = from + c + aligned * random.nextInt(3);
        int widthY = fromY + c + aligned * random.nextInt(3);
        Channels slice = new Channels(c, width, from, widthY, fromY);
        int kernel = cases.size() % 3 == 0 ? 3 : 5;
        cases.add(new Case(slice, s[0], s[1], s[2], kernel, 1, true, random.nextInt(3)));
      }
    }
    return cases;
  }

  @AfterEach
  void freshDevice() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  @ParameterizedTest
  @MethodSource({"cases", "products"})
  void agreesWithTheDefinition(Case c) {
    check(c);
  }

  @ParameterizedTest
  @MethodSource({"cases", "products"})
  void agreesWithThreadsInDescendingOrder(Case c) {
    Devices.open("cuda, descending").close();
    check(c);
  }

  @ParameterizedTest
  @MethodSource("manyParts")
  void partsAreAddedInLevels(Case c) {
    if (SoftwareCuda.present()) {
      SoftwareCuda.multiprocessors(132);
    }
    check(c);
  }

  private static void check(Case c) {
    try (CudaBackend backend =
            Devices.cuda(
                new CudaOptions(c.bf16() ? Precision.BF16 : Precision.F32, true, true, true));
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      new Check(c, backend, context, arena).run();
      context.close();
    }
  }

  /** One case on one device. */
  private static final class Check {
    private final Case c;
    private final CudaBackend backend;
    private final CudaContext context;
    private final DepthwiseArrays arrays;
    private final int oh;
    private final int ow;
    private final int taps;

    Check(Case c, CudaBackend backend, CudaContext context, Arena arena) {
      this.c = c;
      this.backend = backend;
      this.context = context;
      arrays = new DepthwiseArrays(c, backend, arena, SEED);
      oh = c.outputs(c.h());
      ow = c.outputs(c.w());
      taps = c.kernel() * c.kernel();
    }

    void run() {
      int channels = c.c().channels();
      long pixelsX = (long) c.n() * c.h() * c.w();
      long pixelsY = (long) c.n() * oh * ow;
      double[] x = arrays.images(pixelsX);
      double[] dy = arrays.images(pixelsY);
      float[] w = arrays.vector(channels * taps);
      float[][] norm = {
        arrays.vector(channels),
        arrays.vector(channels),
        arrays.vector(channels),
        arrays.vector(channels)
      };
      for (int ch = 0; ch < channels; ch++) {
        norm[3][ch] += 2; // or a ReLU leaves nothing of the smallest images
      }
      double[] seen = c.normalised() ? normalised(x, norm) : x;
      double[] y = new double[dy.length];
      double[] dx = new double[x.length];
      double[] dw = new double[w.length];
      define(seen, dy, w, y, dx, dw);

      Sizes sizes = new Sizes(c.n(), c.h(), c.w(), oh, ow, c.kernel(), c.stride(), c.bf16());
      MemorySegment weights = arrays.upload(w);
      Norm read =
          c.normalised()
              ? new Norm(
                  arrays.upload(norm[0]),
                  arrays.upload(norm[1]),
                  arrays.upload(norm[2]),
                  arrays.upload(norm[3]),
                  c.norm() == 2)
              : null;
      Slice xs = arrays.sliceX(arrays.upload(x, c.c().width(), c.c().from()));
      Slice dys = arrays.sliceY(arrays.upload(dy, c.c().widthY(), c.c().fromY()));
      written(
          "y",
          y,
          c.c().widthY(),
          c.c().fromY(),
          to -> CudaDepthwise.forward(context, sizes, xs, read, weights, arrays.sliceY(to), null));
      written(
          "dx",
          dx,
          c.c().width(),
          c.c().from(),
          to -> CudaDepthwise.backwardData(context, sizes, dys, weights, arrays.sliceX(to), null));
      MemorySegment gradient = backend.allocate(4L * w.length);
      Kernel weightGradient =
          CudaDepthwise.backwardWeights(context, sizes, xs, read, dys, gradient);
      double tolerance = tolerance(dw, c.normalised(), false);
      for (int run = 0; run < 3; run++) {
        arrays.fill(gradient, w.length);
        weightGradient.launch();
        MemorySegment host = arrays.download(gradient, w.length);
        for (int i = 0; i < w.length; i++) {
          assertClose("dw, run " + run, i, dw, host.getAtIndex(JAVA_FLOAT, i), tolerance);
        }
      }
    }

    private double[] normalised(double[] x, float[][] norm) {
      int channels = c.c().channels();
      double[] seen = new double[x.length];
      for (int i = 0; i < x.length; i++) {
        int ch = i % channels;
        double v = (x[i] - norm[0][ch]) * norm[1][ch] * norm[2][ch] + norm[3][ch];
        seen[i] = c.norm() == 2 ? Math.max(0, v) : v;
      }
      return seen;
    }

    /** The three results by the definition. */
    private void define(double[] x, double[] dy, float[] w, double[] y, double[] dx, double[] dw) {
      int channels = c.c().channels();
      for (int image = 0; image < c.n(); image++) {
        for (int out = 0; out < oh * ow; out++) {
          for (int tap = 0; tap < taps; tap++) {
            int row = out / ow * c.stride() + tap / c.kernel() - c.kernel() / 2;
            int column = out % ow * c.stride() + tap % c.kernel() - c.kernel() / 2;
            if (row < 0 || row >= c.h() || column < 0 || column >= c.w()) {
              continue;
            }
            int from = ((image * c.h() + row) * c.w() + column) * channels;
            int to = (image * oh * ow + out) * channels;
            for (int ch = 0; ch < channels; ch++) {
              y[to + ch] += x[from + ch] * w[ch * taps + tap];
              dx[from + ch] += dy[to + ch] * w[ch * taps + tap];
              dw[ch * taps + tap] += x[from + ch] * dy[to + ch];
            }
          }
        }
      }
    }

    /** Runs a kernel that writes images, and looks at the slice and at what lies beside it. */
    private void written(
        String what,
        double[] expected,
        int width,
        int from,
        Function<MemorySegment, Kernel> kernel) {
      int channels = c.c().channels();
      double tolerance = tolerance(expected, c.normalised() && what.equals("y"), true);
      long elements = (long) expected.length / channels * width;
      MemorySegment memory = backend.allocate(4 * arrays.words(elements));
      arrays.fill(memory, arrays.words(elements));
      kernel.apply(memory).launch();
      MemorySegment host = arrays.download(memory, arrays.words(elements));
      for (int at = 0; at < elements; at++) {
        int bits = c.bf16() ? host.getAtIndex(JAVA_SHORT, at) << 16 : host.getAtIndex(JAVA_INT, at);
        int ch = at % width - from;
        if (ch < 0 || ch >= channels) {
          int beside = c.bf16() ? DepthwiseArrays.BESIDE << 16 : DepthwiseArrays.BESIDE;
          int place = at;
          assertEquals(beside, bits, () -> what + " beside the slice, " + place + ", " + c);
        } else {
          int i = at / width * channels + ch;
          assertClose(what, i, expected, Float.intBitsToFloat(bits), tolerance);
        }
      }
    }

    private void assertClose(
        String what, int i, double[] expected, float actual, double tolerance) {
      assertEquals(
          expected[i], actual, tolerance, () -> what + "[" + i + "] of " + c + ", seed " + SEED);
    }

    /**
     * What a result may differ by: of its largest element 2^-9 for each rounding to bf16, of what
     * is read and of what is written, and some for sums in f32.
     */
    private double tolerance(double[] expected, boolean normalised, boolean images) {
      double largest = 0;
      for (double e : expected) {
        largest = Math.max(largest, Math.abs(e));
      }
      assertTrue(largest > 1e-3, () -> "tested on zeros: " + c);
      int roundings = c.bf16() ? (normalised ? 1 : 0) + (images ? 1 : 0) : 0;
      return (2e-5 + 5e-3 * roundings) * largest;
    }
  }
}
