package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaDepthwise.Sizes;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.cuda.CudaDepthwiseTest.Case;
import io.fbnet.engine.program.Devices;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What depthwise convolutions leave for the norms around them, against what they stored: statistics
 * of their results, and the sums of the gradient of the norm that takes their gradient.
 */
class CudaDepthwiseSumsTest {
  private static final long SEED = 20261130L;
  private static final float EPSILON = 1e-3f;
  private static final float MOMENTUM = 0.25f;

  static List<Case> cases() {
    return Stream.of(
            CudaDepthwiseTest.cases(), CudaDepthwiseTest.products(), CudaDepthwiseTest.manyParts())
        .flatMap(List::stream)
        .toList();
  }

  @AfterEach
  void freshDevice() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void areThoseOfWhatWasStored(Case c) {
    check(c);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void areThoseWithThreadsInDescendingOrderAndManyParts(Case c) {
    Devices.open("cuda, descending").close();
    SoftwareCuda.multiprocessors(132);
    check(c);
  }

  private static void check(Case c) {
    try (CudaBackend backend =
            Devices.cuda(
                new CudaOptions(c.bf16() ? Precision.BF16 : Precision.F32, true, true, true));
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      Check check = new Check(c, context, new DepthwiseArrays(c, backend, arena, SEED));
      check.statistics();
      check.sums();
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
    private final Sizes sizes;
    private final MemorySegment w;

    Check(Case c, CudaContext context, DepthwiseArrays arrays) {
      this.c = c;
      this.context = context;
      this.arrays = arrays;
      backend = context.backend;
      oh = c.outputs(c.h());
      ow = c.outputs(c.w());
      sizes = new Sizes(c.n(), c.h(), c.w(), oh, ow, c.kernel(), c.stride(), c.bf16());
      w = arrays.upload(arrays.vector(c.c().channels() * c.kernel() * c.kernel()));
    }

    /**
     * With statistics the same images come out, and the numbers are those of what came out, whose
     * means are far from zero.
     */
    void statistics() {
      int channels = c.c().channels();
      int width = c.c().widthY();
      double[] x = new double[Math.toIntExact((long) c.n() * c.h() * c.w() * channels)];
      for (int i = 0; i < x.length; i++) {
        x[i] = DepthwiseArrays.narrow(50 + arrays.gaussian());
      }
      Slice xs = arrays.sliceX(arrays.upload(x, c.c().width(), c.c().from()));
      long words = arrays.words((long) c.n() * oh * ow * width);
      MemorySegment images = backend.allocate(4 * words);
      arrays.fill(images, words);
      CudaDepthwise.forward(context, sizes, xs, null, w, arrays.sliceY(images), null).launch();
      byte[] plain = arrays.download(images, words).toArray(JAVA_BYTE);
      int[] places = new int[4 * width];
      for (int ch = 0; ch < channels; ch++) {
        for (int i = 0; i < 4; i++) {
          // Backwards, gamma before beta and running mean before running variance.
          places[i * width + ch] = i % 2 * channels + channels - 1 - ch;
        }
      }
      MemorySegment places32 = arrays.ints(places);
      float[] parameters = arrays.vector(2 * channels);
      float[] before = arrays.vector(2 * channels);
      MemorySegment running = arrays.upload(before);
      MemorySegment into = backend.allocate(16L * width);
      CudaNorm.Statistics to =
          new CudaNorm.Statistics(
              into,
              into.asSlice(4L * width),
              running,
              running,
              arrays.upload(new float[] {MOMENTUM}),
              EPSILON,
              places32,
              arrays.upload(parameters),
              into.asSlice(8L * width));
      Kernel kernel = CudaDepthwise.forward(context, sizes, xs, null, w, arrays.sliceY(images), to);
      float[] numbers = null;
      for (int run = 0; run < 3; run++) {
        arrays.fill(images, words);
        arrays.fill(into, 4L * width);
        arrays.copy(before, running);
        kernel.launch();
        assertArrayEquals(plain, arrays.download(images, words).toArray(JAVA_BYTE), c.toString());
        float[] now = arrays.download(into, 4L * width).toArray(JAVA_FLOAT);
        if (run > 0) {
          assertArrayEquals(numbers, now, "run " + run + ", " + c);
        }
        numbers = now;
      }
      float[] moved = arrays.download(running, 2L * channels).toArray(JAVA_FLOAT);
      MemorySegment stored = arrays.download(images, words);
      int pixels = c.n() * oh * ow;
      for (int ch = 0; ch < width; ch++) {
        String what = "statistics of channel " + ch + " of " + c + ", seed " + SEED;
        if (ch >= channels) {
          for (int i = 0; i < 4; i++) {
            assertEquals(
                Float.intBitsToFloat(DepthwiseArrays.BESIDE), numbers[i * width + ch], what);
          }
          continue;
        }
        double mean = 0;
        double squares = 0;
        for (int p = 0; p < pixels; p++) {
          mean += arrays.stored(stored, (long) p * width + c.c().fromY() + ch) / pixels;
        }
        for (int p = 0; p < pixels; p++) {
          squares +=
              Math.pow(arrays.stored(stored, (long) p * width + c.c().fromY() + ch) - mean, 2);
        }
        double deviation = Math.sqrt(squares / pixels + EPSILON);
        double unbiased = pixels > 1 ? squares / (pixels - 1) : 0;
        int mirrored = channels - 1 - ch;
        assertEquals(mean, numbers[ch], 1e-5 * (Math.abs(mean) + deviation), what);
        assertEquals(1 / deviation, numbers[width + ch], 1e-4 / deviation, what);
        assertEquals(parameters[mirrored], numbers[2 * width + ch], what);
        assertEquals(parameters[channels + mirrored], numbers[3 * width + ch], what);
        assertEquals(
            (1 - MOMENTUM) * before[mirrored] + MOMENTUM * mean,
            moved[mirrored],
            1e-5 * (1 + Math.abs(mean) + deviation),
            what);
        assertEquals(
            (1 - MOMENTUM) * before[channels + mirrored] + MOMENTUM * unbiased,
            moved[channels + mirrored],
            1e-4 * (1 + unbiased),
            what);
      }
    }

    /**
     * With sums the same images come out, but behind the ReLU's mask, and the numbers are those of
     * what came out. What the norm read has as many channels as y, so that pixels lie differently.
     */
    void sums() {
      int channels = c.c().channels();
      double[] x = arrays.images((long) c.n() * c.h() * c.w());
      double[] gradient = arrays.images((long) c.n() * oh * ow);
      int apart = c.c().widthY();
      Slice xs = arrays.sliceY(arrays.upload(x, apart, c.c().fromY()));
      Slice dy = arrays.sliceY(arrays.upload(gradient, c.c().widthY(), c.c().fromY()));
      float[][] norm = new float[4][];
      for (int i = 0; i < norm.length; i++) {
        norm[i] = arrays.vector(channels);
      }
      int width = c.c().width();
      int[] places = new int[2 * apart];
      for (int ch = 0; ch < channels; ch++) {
        // Backwards, beta's before gamma's.
        places[ch] = 2 * channels - 1 - ch;
        places[apart + ch] = channels - 1 - ch;
      }
      MemorySegment places32 = arrays.ints(places);
      MemorySegment means = backend.allocate(8L * apart);
      MemorySegment gradients = backend.allocate(8L * channels);
      CudaNorm.GradientSums sums =
          new CudaNorm.GradientSums(
              xs.memory(),
              apart,
              new CudaNorm.Numbers(
                  arrays.upload(norm[0]),
                  arrays.upload(norm[1]),
                  arrays.upload(norm[2]),
                  arrays.upload(norm[3]),
                  c.norm() == 2),
              means,
              new CudaNorm.Gradients(gradients, gradients, places32));
      long words = arrays.words((long) c.n() * c.h() * c.w() * width);
      MemorySegment images = backend.allocate(4 * words);
      arrays.fill(images, words);
      CudaDepthwise.backwardData(context, sizes, dy, w, arrays.sliceX(images), null).launch();
      MemorySegment expected = arrays.download(images, words);
      for (int i = 0; c.norm() == 2 && i < x.length; i++) {
        if (normalised(x[i], norm, i % channels) <= 0) {
          arrays.clear(expected, (long) (i / channels) * width + c.c().from() + i % channels);
        }
      }
      byte[] masked = expected.toArray(JAVA_BYTE);
      Slice dx = arrays.sliceX(images);
      check(
          CudaDepthwise.backwardData(context, sizes, dy, w, dx, sums),
          x,
          norm,
          images,
          masked,
          means,
          gradients);
      if (DepthwiseProducts.serve(context, sizes)) {
        // Both gradients at once.
        int taps = channels * c.kernel() * c.kernel();
        float[] beside = new float[taps + 1];
        beside[taps] = 77;
        MemorySegment alone = arrays.upload(beside);
        MemorySegment together = arrays.upload(beside);
        CudaDepthwise.Norm read =
            new CudaDepthwise.Norm(
                sums.numbers().mean(),
                sums.numbers().inverse(),
                sums.numbers().gamma(),
                sums.numbers().beta(),
                sums.numbers().relu());
        CudaDepthwise.backwardWeights(context, sizes, xs, read, dy, alone).launch();
        check(
            CudaDepthwise.gradients(context, sizes, dy, w, dx, sums, together),
            x,
            norm,
            images,
            masked,
            means,
            gradients);
        near(
            arrays.download(alone, taps + 1).toArray(JAVA_FLOAT),
            arrays.download(together, taps + 1).toArray(JAVA_FLOAT));
      }
    }

    private void near(float[] expected, float[] actual) {
      double largest = 0;
      for (int i = 0; i < expected.length - 1; i++) {
        largest = Math.max(largest, Math.abs(expected[i]));
      }
      for (int i = 0; i < expected.length; i++) {
        assertEquals(
            expected[i], actual[i], 1e-5 * largest, "dw[" + i + "] of " + c + ", seed " + SEED);
      }
    }

    private void check(
        Kernel kernel,
        double[] x,
        float[][] norm,
        MemorySegment images,
        byte[] masked,
        MemorySegment means,
        MemorySegment gradients) {
      int channels = c.c().channels();
      int width = c.c().width();
      int apart = c.c().widthY();
      long words = arrays.words((long) c.n() * c.h() * c.w() * width);
      float[] first = null;
      for (int run = 0; run < 3; run++) {
        arrays.fill(images, words);
        arrays.fill(means, 2L * apart);
        kernel.launch();
        assertArrayEquals(masked, arrays.download(images, words).toArray(JAVA_BYTE), c.toString());
        float[] now = new float[2 * apart + 2 * channels];
        MemorySegment host = arrays.download(means, 2L * apart);
        MemorySegment.copy(host, JAVA_FLOAT, 0, now, 0, 2 * apart);
        host = arrays.download(gradients, 2L * channels);
        MemorySegment.copy(host, JAVA_FLOAT, 0, now, 2 * apart, 2 * channels);
        if (run > 0) {
          assertArrayEquals(first, now, "run " + run + ", " + c);
        }
        first = now;
      }
      MemorySegment stored = arrays.download(images, words);
      double all = 0;
      for (int ch = 0; ch < apart; ch++) {
        if (ch >= channels) {
          float untouched = Float.intBitsToFloat(DepthwiseArrays.BESIDE);
          assertEquals(untouched, first[ch], "mean " + ch + " of " + c);
          assertEquals(untouched, first[apart + ch], "mean " + ch + " of " + c);
          continue;
        }
        double sum = 0;
        double product = 0;
        double size = 1e-3;
        for (int p = 0; p < x.length / channels; p++) {
          long at = (long) p * width + c.c().from() + ch;
          float centred = (float) x[p * channels + ch] - norm[0][ch];
          double d = arrays.stored(stored, at);
          sum += d;
          product += d * centred * norm[1][ch];
          all += Math.abs(d);
          size += Math.abs(d) * (1 + Math.abs(centred * norm[1][ch]));
        }
        double pixels = (double) x.length / channels;
        String what = "channel " + ch + " of " + c + ", seed " + SEED;
        assertEquals(sum, first[2 * apart + channels - 1 - ch], 1e-5 * size, what);
        assertEquals(product, first[2 * apart + 2 * channels - 1 - ch], 1e-5 * size, what);
        assertEquals(sum / pixels, first[ch], 1e-5 * size / pixels, what);
        assertEquals(product / pixels, first[apart + ch], 1e-5 * size / pixels, what);
      }
      assertTrue(all > 0.1 || c.norm() == 2 && x.length < 50, "tested on zeros: " + c);
    }

    private static float normalised(double x, float[][] norm, int ch) {
      return ((float) x - norm[0][ch]) * (norm[2][ch] * norm[1][ch]) + norm[3][ch];
    }
  }
}
