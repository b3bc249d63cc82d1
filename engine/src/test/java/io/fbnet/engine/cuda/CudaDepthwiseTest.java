package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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

  /** What lies beside a slice: no number, and no other NaN has these bits in f32 or in bf16. */
  private static final int BESIDE = 0x7FD57FD5;

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
            boolean bf16 = cases.size() % 2 == 1 ^ stride == 2;
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
    private final Arena arena;
    private final Random random;
    private final int oh;
    private final int ow;
    private final int taps;

    Check(Case c, CudaBackend backend, CudaContext context, Arena arena) {
      this.c = c;
      this.backend = backend;
      this.context = context;
      this.arena = arena;
      random = new Random(SEED);
      oh = c.outputs(c.h());
      ow = c.outputs(c.w());
      taps = c.kernel() * c.kernel();
    }

    void run() {
      int channels = c.c().channels();
      long pixelsX = (long) c.n() * c.h() * c.w();
      long pixelsY = (long) c.n() * oh * ow;
      double[] x = images(pixelsX);
      double[] dy = images(pixelsY);
      float[] w = vector(channels * taps);
      float[][] norm = {vector(channels), vector(channels), vector(channels), vector(channels)};
      for (int ch = 0; ch < channels; ch++) {
        norm[3][ch] += 2; // or a ReLU leaves nothing of the smallest images
      }
      double[] seen = c.normalised() ? normalised(x, norm) : x;
      double[] y = new double[dy.length];
      double[] dx = new double[x.length];
      double[] dw = new double[w.length];
      define(seen, dy, w, y, dx, dw);

      Sizes sizes = new Sizes(c.n(), c.h(), c.w(), oh, ow, c.kernel(), c.stride(), c.bf16());
      MemorySegment weights = upload(w);
      Norm read =
          c.normalised()
              ? new Norm(
                  upload(norm[0]), upload(norm[1]), upload(norm[2]), upload(norm[3]), c.norm() == 2)
              : null;
      Slice xs = sliceX(upload(x, c.c().width(), c.c().from()));
      Slice dys = sliceY(upload(dy, c.c().widthY(), c.c().fromY()));
      written(
          "y",
          y,
          c.c().widthY(),
          c.c().fromY(),
          to -> CudaDepthwise.forward(context, sizes, xs, read, weights, sliceY(to)));
      written(
          "dx",
          dx,
          c.c().width(),
          c.c().from(),
          to -> CudaDepthwise.backwardData(context, sizes, dys, weights, sliceX(to), null));
      if (c.normalised()) {
        sums(sizes, x, norm, dys, weights, dx, xs);
      }
      MemorySegment gradient = backend.allocate(4L * w.length);
      Kernel weightGradient =
          CudaDepthwise.backwardWeights(context, sizes, xs, read, dys, gradient);
      double tolerance = tolerance(dw, c.normalised(), false);
      for (int run = 0; run < 3; run++) {
        fill(gradient, w.length);
        weightGradient.launch();
        MemorySegment host = download(gradient, w.length);
        for (int i = 0; i < w.length; i++) {
          assertClose("dw, run " + run, i, dw, host.getAtIndex(JAVA_FLOAT, i), tolerance);
        }
      }
    }

    /** With sums the same images come out, and the numbers are those of what came out. */
    private void sums(
        Sizes sizes, double[] x, float[][] norm, Slice dy, MemorySegment w, double[] dx, Slice xs) {
      int channels = c.c().channels();
      int width = c.c().width();
      int[] places = new int[2 * width];
      for (int ch = 0; ch < channels; ch++) {
        // Backwards, beta's before gamma's.
        places[ch] = 2 * channels - 1 - ch;
        places[width + ch] = channels - 1 - ch;
      }
      MemorySegment places32 = backend.allocate(4L * places.length);
      backend.copyIn(arena.allocateFrom(JAVA_INT, places), places32, places.length);
      MemorySegment means = backend.allocate(8L * width);
      MemorySegment gradients = backend.allocate(8L * channels);
      CudaNorm.GradientSums sums =
          new CudaNorm.GradientSums(
              xs.memory(),
              new CudaNorm.Numbers(
                  upload(norm[0]),
                  upload(norm[1]),
                  upload(norm[2]),
                  upload(norm[3]),
                  c.norm() == 2),
              means,
              new CudaNorm.Gradients(gradients, gradients, places32));
      MemorySegment[] images = new MemorySegment[1];
      Kernel[] kernel = new Kernel[1];
      fill(means, 2L * width);
      written(
          "dx with sums",
          dx,
          width,
          c.c().from(),
          to -> {
            images[0] = to;
            kernel[0] = CudaDepthwise.backwardData(context, sizes, dy, w, sliceX(to), sums);
            return kernel[0];
          });
      float[] first = null;
      for (int run = 0; run < 2; run++) {
        float[] now = new float[2 * width + 2 * channels];
        MemorySegment host = download(means, 2L * width);
        MemorySegment.copy(host, JAVA_FLOAT, 0, now, 0, 2 * width);
        host = download(gradients, 2L * channels);
        MemorySegment.copy(host, JAVA_FLOAT, 0, now, 2 * width, 2 * channels);
        if (run > 0) {
          assertArrayEquals(first, now, "run " + run + ", " + c);
        }
        first = now;
        kernel[0].launch();
      }
      long elements = (long) dx.length / channels * width;
      MemorySegment stored = download(images[0], words(elements));
      for (int ch = 0; ch < width; ch++) {
        if (ch >= channels) {
          float untouched = Float.intBitsToFloat(BESIDE);
          assertEquals(untouched, first[ch], "mean " + ch + " of " + c);
          assertEquals(untouched, first[width + ch], "mean " + ch + " of " + c);
          continue;
        }
        double sum = 0;
        double product = 0;
        double size = 1e-3;
        for (int p = 0; p < x.length / channels; p++) {
          long at = (long) p * width + c.c().from() + ch;
          int bits =
              c.bf16() ? stored.getAtIndex(JAVA_SHORT, at) << 16 : stored.getAtIndex(JAVA_INT, at);
          float centred = (float) x[p * channels + ch] - norm[0][ch];
          float normalised = centred * (norm[2][ch] * norm[1][ch]) + norm[3][ch];
          double d = c.norm() == 2 && normalised <= 0 ? 0 : Float.intBitsToFloat(bits);
          sum += d;
          product += d * centred * norm[1][ch];
          size += Math.abs(d) * (1 + Math.abs(centred * norm[1][ch]));
        }
        double pixels = (double) x.length / channels;
        String what = "channel " + ch + " of " + c + ", seed " + SEED;
        assertEquals(sum, first[2 * width + channels - 1 - ch], 1e-5 * size, what);
        assertEquals(product, first[2 * width + 2 * channels - 1 - ch], 1e-5 * size, what);
        assertEquals(sum / pixels, first[ch], 1e-5 * size / pixels, what);
        assertEquals(product / pixels, first[width + ch], 1e-5 * size / pixels, what);
      }
    }

    private Slice sliceX(MemorySegment images) {
      return slice(images, c.c().from(), c.c().width());
    }

    private Slice sliceY(MemorySegment images) {
      return slice(images, c.c().fromY(), c.c().widthY());
    }

    private Slice slice(MemorySegment images, int from, int width) {
      return new Slice(images.asSlice((long) from * (c.bf16() ? 2 : 4)), c.c().channels(), width);
    }

    /** Numbers that both types hold exactly; neither zeros nor of one sign. */
    private double[] images(long pixels) {
      double[] v = new double[Math.toIntExact(pixels * c.c().channels())];
      for (int i = 0; i < v.length; i++) {
        v[i] = narrow(0.1 + random.nextGaussian());
      }
      return v;
    }

    private static float narrow(double v) {
      return Float.intBitsToFloat(Float.floatToRawIntBits((float) v) & 0xFFFF0000);
    }

    private float[] vector(int n) {
      float[] v = new float[n];
      for (int i = 0; i < n; i++) {
        v[i] = (float) random.nextGaussian();
      }
      return v;
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

    private MemorySegment upload(float[] v) {
      MemorySegment memory = backend.allocate(4L * v.length);
      backend.copyIn(arena.allocateFrom(JAVA_FLOAT, v), memory, v.length);
      return memory;
    }

    private long words(long elements) {
      return c.bf16() ? (elements + 1) / 2 : elements;
    }

    private void fill(MemorySegment memory, long words) {
      MemorySegment host = arena.allocate(4 * words, 64);
      for (long i = 0; i < words; i++) {
        host.setAtIndex(JAVA_INT, i, BESIDE);
      }
      backend.copyIn(host, memory, words);
    }

    private MemorySegment download(MemorySegment memory, long words) {
      MemorySegment host = arena.allocate(4 * words, 64);
      backend.copyOut(memory, host, words);
      return host;
    }

    /** Images of {@code width} channels, of which those of the slice are given. */
    private MemorySegment upload(double[] v, int width, int from) {
      long elements = (long) v.length / c.c().channels() * width;
      MemorySegment memory = backend.allocate(4 * words(elements));
      fill(memory, words(elements));
      MemorySegment host = download(memory, words(elements));
      for (int i = 0; i < v.length; i++) {
        long at = (long) (i / c.c().channels()) * width + from + i % c.c().channels();
        int bits = Float.floatToRawIntBits((float) v[i]);
        if (c.bf16()) {
          host.setAtIndex(JAVA_SHORT, at, (short) (bits >> 16));
        } else {
          host.setAtIndex(JAVA_INT, at, bits);
        }
      }
      backend.copyIn(host, memory, words(elements));
      return memory;
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
      MemorySegment memory = backend.allocate(4 * words(elements));
      fill(memory, words(elements));
      kernel.apply(memory).launch();
      MemorySegment host = download(memory, words(elements));
      for (int at = 0; at < elements; at++) {
        int bits = c.bf16() ? host.getAtIndex(JAVA_SHORT, at) << 16 : host.getAtIndex(JAVA_INT, at);
        int ch = at % width - from;
        if (ch < 0 || ch >= channels) {
          int beside = c.bf16() ? BESIDE << 16 : BESIDE;
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
