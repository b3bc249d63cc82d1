package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaDepthwise.Norm;
import io.fbnet.engine.cuda.CudaDepthwise.Sizes;
import io.fbnet.engine.cuda.CudaDepthwise.Slice;
import io.fbnet.engine.cuda.CudaDepthwiseTest.Case;
import io.fbnet.engine.program.Devices;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Depthwise convolutions on tensor cores beside those without, which a device of compute capability
 * 7.5 runs. Taps are exact in bf16, so that both differ by how f32 sums are rounded alone.
 */
class DepthwiseProductsTest {
  private static final long SEED = 20261201L;

  static List<Case> cases() {
    return CudaDepthwiseTest.products();
  }

  @BeforeEach
  void onTheSoftwareDevice() {
    assumeTrue(SoftwareCuda.present(), "only the software device can be one of 7.5");
  }

  @AfterEach
  void freshDevice() {
    SoftwareCuda.reset();
  }

  /** What one device makes of a case, and by which kernels. */
  @SuppressWarnings("ArrayRecordComponent")
  private record Result(double[] y, double[] dx, double[] dw, List<String> kernels) {}

  @ParameterizedTest
  @MethodSource("cases")
  void agreeWithTheOthersButForOneRounding(Case c) {
    Result products = result(c);
    SoftwareCuda.reset();
    SoftwareCuda.capability(75);
    Result plain = result(c);
    assertEquals(
        List.of(
            "depthwise_products_k" + c.kernel() + "_forward",
            "depthwise_products_k" + c.kernel() + "_backward_data",
            "depthwise_weight_products_k" + c.kernel()),
        products.kernels());
    assertEquals(
        List.of(
            "depthwise_k" + c.kernel() + "s1_forward_bf16",
            "depthwise_k" + c.kernel() + "s1_backward_data_bf16",
            "depthwise_k" + c.kernel() + "s1_backward_weights_bf16"),
        plain.kernels());
    assertNear("y", c, plain.y(), products.y());
    assertNear("dx", c, plain.dx(), products.dx());
    assertNear("dw", c, plain.dw(), products.dw());
  }

  @ParameterizedTest
  @MethodSource("cases")
  void areTheSameEachTime(Case c) {
    Result first = result(c);
    Result second = result(c);
    assertArrayEquals(first.y(), second.y());
    assertArrayEquals(first.dx(), second.dx());
    assertArrayEquals(first.dw(), second.dw());
  }

  private static void assertNear(String what, Case c, double[] expected, double[] actual) {
    double largest = 0;
    for (double e : expected) {
      largest = Math.max(largest, Math.abs(e));
    }
    assertNotEquals(0, largest, "tested on zeros");
    for (int i = 0; i < expected.length; i++) {
      int at = i;
      // A bf16 is up to 2^-8 of itself from the next one.
      assertEquals(
          expected[i],
          actual[i],
          Math.abs(expected[i]) / 256 + 1e-5 * largest,
          () -> what + "[" + at + "] of " + c + ", seed " + SEED);
    }
  }

  private static Result result(Case c) {
    try (CudaBackend backend = Devices.cuda(new CudaOptions(Precision.BF16, true, true, true));
        Arena arena = Arena.ofConfined()) {
      CudaContext context = new CudaContext(backend, List.of(), Map.of());
      DepthwiseArrays arrays = new DepthwiseArrays(c, backend, arena, SEED);
      int channels = c.c().channels();
      long pixels = (long) c.n() * c.h() * c.w();
      Sizes sizes = new Sizes(c.n(), c.h(), c.w(), c.h(), c.w(), c.kernel(), 1, true);
      Slice x = arrays.sliceX(arrays.upload(arrays.images(pixels), c.c().width(), c.c().from()));
      Slice dy = arrays.sliceY(arrays.upload(arrays.images(pixels), c.c().widthY(), c.c().fromY()));
      float[] taps = arrays.vector(c.kernel() * c.kernel() * channels);
      for (int i = 0; i < taps.length; i++) {
        taps[i] = DepthwiseArrays.narrow(taps[i]);
      }
      MemorySegment w = arrays.upload(taps);
      Norm norm = null;
      if (c.normalised()) {
        float[][] numbers = new float[4][];
        for (int i = 0; i < 4; i++) {
          numbers[i] = arrays.vector(channels);
          for (int ch = 0; ch < channels; ch++) {
            // Powers of two and few digits: normalising rounds nothing before it rounds to bf16.
            numbers[i][ch] = i == 1 ? 0.5f : i == 2 ? 2 : Math.round(4 * numbers[i][ch]) / 4f;
          }
        }
        norm =
            new Norm(
                arrays.upload(numbers[0]),
                arrays.upload(numbers[1]),
                arrays.upload(numbers[2]),
                arrays.upload(numbers[3]),
                c.norm() == 2);
      }
      MemorySegment y = backend.allocate(4 * arrays.words(pixels * c.c().widthY()));
      MemorySegment dx = backend.allocate(4 * arrays.words(pixels * c.c().width()));
      List<Kernel> kernels = new ArrayList<>();
      kernels.add(CudaDepthwise.forward(context, sizes, x, norm, w, arrays.sliceY(y), null));
      kernels.add(CudaDepthwise.backwardData(context, sizes, dy, w, arrays.sliceX(dx), null));
      MemorySegment dw = backend.allocate(4L * taps.length);
      kernels.add(CudaDepthwise.backwardWeights(context, sizes, x, norm, dy, dw));
      kernels.forEach(Kernel::launch);
      Result result =
          new Result(
              stored(arrays, c, y, c.c().widthY(), c.c().fromY(), pixels),
              stored(arrays, c, dx, c.c().width(), c.c().from(), pixels),
              numbers(arrays.download(dw, taps.length).toArray(JAVA_FLOAT)),
              context.launches().stream().map(launch -> launch.call()).toList());
      context.close();
      assertTrue(result.y().length > 0);
      return result;
    }
  }

  private static double[] numbers(float[] v) {
    double[] numbers = new double[v.length];
    Arrays.setAll(numbers, i -> v[i]);
    return numbers;
  }

  private static double[] stored(
      DepthwiseArrays arrays, Case c, MemorySegment images, int width, int from, long pixels) {
    MemorySegment host = arrays.download(images, arrays.words(pixels * width));
    int channels = c.c().channels();
    double[] v = new double[Math.toIntExact(pixels * channels)];
    for (int i = 0; i < v.length; i++) {
      v[i] = arrays.stored(host, (long) (i / channels) * width + from + i % channels);
    }
    return v;
  }
}
