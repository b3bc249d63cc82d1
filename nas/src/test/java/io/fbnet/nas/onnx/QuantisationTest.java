package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.space.Architecture;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class QuantisationTest {
  @Test
  void zeroIsAStepOfEveryRange() {
    for (Range range :
        List.of(
            new Range(0, 51),
            new Range(-51, 0),
            new Range(-1, 2),
            new Range(-3e-3f, 7e5f),
            new Range(0, 0),
            new Range(0, Float.MIN_VALUE))) {
      assertTrue(range.zeroPoint() >= 0 && range.zeroPoint() <= 255, range.toString());
      // The ends are reached but for half a step.
      double step = range.scale();
      assertEquals(range.low(), (0 - range.zeroPoint()) * step, step / 2, range.toString());
      assertTrue((255 - range.zeroPoint()) * step >= range.high() - step / 2, range.toString());
    }
    assertEquals(0, new Range(0, 51).zeroPoint());
    assertEquals(0.2f, new Range(0, 51).scale());
    assertEquals(255, new Range(-51, 0).zeroPoint());
    assertEquals(85, new Range(-1, 2).zeroPoint());
    assertThrows(IllegalArgumentException.class, () -> new Range(1, 2));
    assertThrows(IllegalArgumentException.class, () -> new Range(0, Float.NaN));
    assertThrows(IllegalArgumentException.class, () -> new Range(0, Float.POSITIVE_INFINITY));
  }

  @Test
  void aHistogramLeavesOutTheShareAtEitherEnd() {
    float[] numbers = new float[10_000];
    long seed = 11;
    Random random = new Random(seed);
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (float) random.nextGaussian();
    }
    numbers[17] = 1000;
    numbers[4711] = -500;
    Histogram histogram = new Histogram();
    assertTrue(histogram.add(numbers));
    assertEquals(new Range(-500, 1000), histogram.range(0));
    float[] sorted = numbers.clone();
    Arrays.sort(sorted);
    // Bins are 1024 / 4096 wide by now.
    for (double share : new double[] {1e-4, 1e-3, 0.01}) {
      int out = (int) (share * numbers.length);
      Range range = histogram.range(share);
      assertEquals(sorted[out], range.low(), 0.25, "seed " + seed);
      assertEquals(sorted[numbers.length - 1 - out], range.high(), 0.25, "seed " + seed);
      assertTrue(range.low() <= sorted[out] && range.high() >= sorted[numbers.length - 1 - out]);
    }
    // In another order, and in parts, the same.
    Histogram other = new Histogram();
    assertTrue(other.add(Arrays.copyOfRange(sorted, 5000, 10_000)));
    assertTrue(other.add(Arrays.copyOfRange(sorted, 0, 5000)));
    assertEquals(histogram.range(1e-3), other.range(1e-3));
  }

  @Test
  void aHistogramOfOneSideBeginsAtZero() {
    Histogram histogram = new Histogram();
    assertEquals(new Range(0, 0), histogram.range(0));
    assertTrue(histogram.add(new float[] {0, 3, 1, 0}));
    assertEquals(new Range(0, 3), histogram.range(0));
    assertEquals(new Range(0, 3), histogram.range(0.1));
    assertFalse(histogram.add(new float[] {Float.NaN}));
    assertFalse(histogram.add(new float[] {Float.NEGATIVE_INFINITY}));
  }

  @Test
  void weightsHaveAStepForEachChannel() {
    float[] weights = {1.27f, -0.004f, 0.006f, 0, 0, 0, -254, 127, 1, 1e-30f, 0, 0};
    float[] bias = {0.5f, -3, 1, 2};
    Int8Weights rounded = new Int8Weights(weights, 4, bias, 0.5f);
    assertArrayEquals(
        new byte[] {127, 0, 1, 0, 0, 0, -127, 64, 1}, Arrays.copyOf(rounded.weights(), 9));
    assertEquals(0.01f, rounded.scales()[0]);
    assertEquals(2, rounded.scales()[2]);
    for (int c = 0; c < bias.length; c++) {
      assertEquals(0.5f * rounded.scales()[c], rounded.biasScales()[c]);
      double step = rounded.biasScales()[c];
      assertEquals(bias[c], rounded.biases()[c] * step, Math.max(step, 1e-6 * Math.abs(bias[c])));
      assertTrue(Math.abs((long) rounded.biases()[c]) <= 1 << 30);
    }
    assertEquals(0, new Int8Weights(weights, 4, new float[0], 1).biases().length);
  }

  @Test
  void whatIsComputedIsRoundedOnce() {
    whatIsComputedIsRoundedOnce(
        Networks.architecture(
            Networks.space(3, 19, 22, true),
            "k3_e1_g2",
            "skip",
            "skip",
            "k5_e1_g2",
            "k5_e6",
            "k3_e3"));
    whatIsComputedIsRoundedOnce(
        Networks.architecture(
            Networks.later(3, 19, 22),
            "k3_e3_hswish",
            "k5_e2_se",
            "k3_e6_se_hswish",
            "k5_e1_g2_se_swish",
            "skip",
            "skip"));
  }

  private static void whatIsComputedIsRoundedOnce(Architecture architecture) {
    Graph graph = ArchitectureGraphs.inference(architecture, 2);
    List<Value> rounded = Quantisation.rounded(graph);
    long expected = 1; // The images.
    for (Op op : graph.ops()) {
      boolean itself =
          op instanceof Op.BatchNormInference
              || op instanceof Op.Sum
              || op instanceof Op.Pointwise
              || op instanceof Op.ScaleChannels
              || op instanceof Op.Linear l && l.w().name().endsWith("se.expand.weight")
              || op instanceof Op.GlobalPool;
      expected += itself ? 1 : 0;
      assertEquals(itself, rounded.contains(op.outputs().getFirst()), op.name());
    }
    assertEquals(expected, rounded.size());
  }
}
