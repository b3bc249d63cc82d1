package io.fbnet.engine.program;

import io.fbnet.engine.graph.Constants;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** One small graph an operation and size, odd sizes first. */
final class OperationCases {
  /**
   * A graph to compare.
   *
   * @param name for the report
   * @param tolerance of f32 against double, relative to the largest element of each result
   * @param build declares inputs and returns the result
   */
  record Case(String name, double tolerance, Function<GraphBuilder, Value> build) {
    @Override
    public String toString() {
      return name;
    }
  }

  /** Sums of up to a few thousand products in f32: about 2^-24 times the root of their number. */
  static final double SUMS = 2e-5;

  /** A few roundings. */
  static final double FEW = 2e-6;

  /** f32 is rounded once, as the reference is when it is read: below an f32's last bit. */
  private static final double ROUNDED_ONCE = 1e-12;

  private OperationCases() {}

  static List<Case> all() {
    List<Case> cases = new ArrayList<>();
    pixels(cases);
    convolutions(cases);
    norms(cases);
    mixes(cases);
    neighbours(cases);
    vectors(cases);
    ActivationCases.add(cases);
    return cases;
  }

  private static Value images(GraphBuilder b, String name, int... shape) {
    return b.input(name, Type.F32, shape);
  }

  private static void pixels(List<Case> cases) {
    int[][] sizes = {{3, 1, 9, 7}, {4, 3, 5, 6}, {7, 3, 1, 1}, {2, 3, 33, 31}, {3, 21, 4, 5}};
    for (int[] s : sizes) {
      cases.add(new Case("bytes to images " + Arrays.toString(s), ROUNDED_ONCE, b -> bytes(b, s)));
    }
    cases.add(
        new Case(
            "bytes to images, then a dense convolution",
            SUMS,
            b -> b.convolution(bytes(b, 3, 3, 9, 7), weights(b, 5, 3, 3, 3), 2, 1)));
    for (int channels : new int[] {3, 21}) {
      cases.add(
          new Case(
              "bytes to images of %d channels, then depthwise".formatted(channels),
              SUMS,
              b ->
                  b.convolution(
                      bytes(b, 3, channels, 7, 6), weights(b, channels, 1, 3, 3), 1, channels)));
    }
  }

  private static Value bytes(GraphBuilder b, int... shape) {
    float[] mean = new float[shape[1]];
    float[] deviation = new float[shape[1]];
    for (int c = 0; c < mean.length; c++) {
      mean[c] = 0.485f - 0.021f * c;
      deviation[c] = 0.229f + 0.013f * c;
    }
    return b.normaliseImages(
        b.input("pixels", Type.U8, shape),
        b.input("windows", Type.I32, shape[0], 3),
        Constants.of(mean),
        Constants.of(deviation));
  }

  private static void convolutions(List<Case> cases) {
    int[][] sizes = {
      // batch, channels, height, width, outputs, kernel, stride, groups
      {3, 1, 9, 7, 5, 3, 1, 1},
      {2, 3, 9, 9, 16, 3, 2, 1},
      {3, 5, 7, 9, 7, 1, 1, 1},
      {2, 24, 7, 7, 40, 1, 1, 1},
      {2, 17, 6, 5, 33, 1, 2, 1},
      {2, 20, 5, 5, 6, 5, 1, 1},
      {1, 16, 1, 1, 24, 1, 1, 1},
      {3, 6, 5, 7, 10, 1, 1, 2},
      {2, 24, 5, 5, 24, 1, 1, 2},
      {2, 32, 6, 6, 64, 1, 1, 2},
      {2, 184, 3, 3, 112, 1, 1, 2},
      {5, 6, 13, 9, 10, 1, 1, 2},
      {8, 9, 32, 32, 12, 1, 1, 3},
      {5, 6, 11, 7, 10, 1, 1, 2},
      {3, 5, 7, 9, 5, 3, 1, 5},
      {3, 5, 7, 9, 5, 3, 2, 5},
      {2, 24, 8, 8, 24, 3, 2, 24},
      {3, 7, 9, 5, 7, 5, 1, 7},
      {3, 7, 9, 5, 7, 5, 2, 7},
      {2, 40, 14, 14, 40, 5, 1, 40},
      {2, 48, 7, 7, 48, 5, 2, 48},
      {5, 16, 2, 2, 16, 5, 1, 16},
    };
    for (int[] s : sizes) {
      String name =
          "convolution %d->%d k%d s%d g%d at %dx%dx%d"
              .formatted(s[1], s[4], s[5], s[6], s[7], s[0], s[2], s[3]);
      cases.add(
          new Case(
              name,
              SUMS,
              b ->
                  b.convolution(
                      images(b, "x", s[0], s[1], s[2], s[3]),
                      weights(b, s[4], s[1] / s[7], s[5], s[5]),
                      s[6],
                      s[7])));
    }
  }

  private static Value weights(GraphBuilder b, int... shape) {
    return b.parameter("weights", "w", true, new Initial.Normal(1), shape);
  }

  private static Value vector(GraphBuilder b, String set, String name, int n) {
    return b.parameter(set, name, false, new Initial.Normal(1), n);
  }

  private static void norms(List<Case> cases) {
    int[][] sizes = {{3, 5, 7, 9}, {2, 24, 4, 4}, {1, 16, 1, 3}, {7, 33, 2, 2}, {4, 8, 30, 31}};
    for (int[] s : sizes) {
      for (boolean relu : new boolean[] {false, true}) {
        cases.add(
            new Case(
                "batch norm %s%s".formatted(Arrays.toString(s), relu ? " relu" : ""),
                SUMS,
                b -> norm(b, "", images(b, "x", s), b.control("momentum", Type.F32), relu)));
      }
    }
    cases.add(
        new Case(
            "batch norm once more",
            SUMS,
            b ->
                b.batchNormApply(
                    images(b, "x", 3, 21, 5, 4),
                    vector(b, "statistics", "gamma", 21),
                    vector(b, "statistics", "beta", 21),
                    vector(b, "statistics", "mean", 21),
                    vector(b, "statistics", "inverse", 21),
                    true)));
    cases.add(
        new Case(
            "batch norm inference",
            SUMS,
            b ->
                b.batchNormInference(
                    images(b, "x", 3, 21, 5, 4),
                    vector(b, "statistics", "gamma", 21),
                    vector(b, "statistics", "beta", 21),
                    vector(b, "statistics", "mean", 21),
                    b.parameter("statistics", "variance", false, new Initial.Constant(2), 21),
                    1e-5f,
                    true)));
  }

  private static void mixes(List<Case> cases) {
    for (int rows : new int[] {1, 3}) {
      cases.add(
          new Case(
              "weighted sum of 9, rows " + rows,
              SUMS,
              b -> {
                List<Value> xs = new ArrayList<>();
                for (int k = 0; k < 9; k++) {
                  xs.add(images(b, "x" + k, 3, 21, 5, 3));
                }
                return b.weightedSum(xs, b.input("m", Type.F32, rows, 9));
              }));
    }
    cases.add(
        new Case(
            "weighted sum of large images",
            SUMS,
            b ->
                b.weightedSum(
                    List.of(images(b, "x0", 4, 24, 20, 21), images(b, "x1", 4, 24, 20, 21)),
                    b.input("m", Type.F32, 1, 2))));
    cases.add(
        new Case(
            "sum of 3",
            FEW,
            b ->
                b.sum(
                    List.of(
                        images(b, "x0", 3, 5, 7, 9),
                        images(b, "x1", 3, 5, 7, 9),
                        images(b, "x2", 3, 5, 7, 9)))));
    for (int[] s : new int[][] {{3, 6, 5, 7, 2}, {2, 24, 3, 3, 2}, {2, 36, 2, 3, 3}}) {
      cases.add(
          new Case(
              "channel shuffle of %d by %d".formatted(s[1], s[4]),
              0,
              b -> b.channelShuffle(images(b, "x", s[0], s[1], s[2], s[3]), s[4])));
    }
    cases.add(new Case("global pool", FEW, b -> b.globalPool(images(b, "x", 3, 21, 7, 5))));
  }

  /** Operations that a device may run as one. */
  private static void neighbours(List<Case> cases) {
    int[][] sizes = {
      // batch, channels, height, width, kernel, stride
      {3, 5, 7, 9, 3, 1},
      {3, 6, 5, 8, 3, 2},
      {2, 24, 8, 6, 5, 1},
      {2, 40, 9, 6, 5, 2},
      {2, 136, 6, 7, 3, 1},
    };
    for (int[] s : sizes) {
      for (boolean relu : new boolean[] {false, true}) {
        cases.add(
            new Case(
                "batch norm%s, then depthwise k%d s%d of %d at %dx%dx%d"
                    .formatted(relu ? " relu" : "", s[4], s[5], s[1], s[0], s[2], s[3]),
                SUMS,
                b -> {
                  Value x = images(b, "x", s[0], s[1], s[2], s[3]);
                  Value y = norm(b, "", x, b.control("momentum", Type.F32), relu);
                  return b.convolution(y, weights(b, s[1], 1, s[4], s[4]), s[5], s[1]);
                }));
      }
    }
    for (int rows : new int[] {1, 3}) {
      cases.add(
          new Case(
              "weighted sum of two batch norms and x, %s".formatted(rows == 1 ? "one row" : "rows"),
              SUMS,
              b -> {
                Value x = images(b, "x", 3, 7, 5, 6);
                Value momentum = b.control("momentum", Type.F32);
                Value first = norm(b, "0", images(b, "x0", 3, 7, 5, 6), momentum, true);
                Value second = norm(b, "1", images(b, "x1", 3, 7, 5, 6), momentum, false);
                Value m = b.input("m", Type.F32, rows, 3);
                return b.weightedSum(List.of(first, x, second), m);
              }));
    }
  }

  private static Value norm(GraphBuilder b, String name, Value x, Value momentum, boolean relu) {
    int c = x.shape().get(1);
    return b.batchNorm(
        x,
        vector(b, "weights", "gamma" + name, c),
        vector(b, "weights", "beta" + name, c),
        vector(b, "statistics", "mean" + name, c),
        vector(b, "statistics", "variance" + name, c),
        momentum,
        1e-5f,
        relu);
  }

  private static void vectors(List<Case> cases) {
    cases.add(
        new Case(
            "linear",
            SUMS,
            b ->
                b.linear(
                    b.input("x", Type.F32, 5, 33),
                    b.parameter("weights", "w", true, new Initial.Normal(1), 7, 33),
                    b.parameter("weights", "b", false, new Initial.Normal(1), 7))));
    cases.add(
        new Case(
            "cross entropy",
            FEW,
            b -> b.crossEntropy(b.input("x", Type.F32, 6, 5), b.input("labels", Type.I32, 6))));
    for (int classes : new int[] {5, 37}) {
      cases.add(
          new Case(
              "cross entropy of " + classes + ", smoothed",
              FEW,
              b ->
                  b.crossEntropy(
                      b.input("x", Type.F32, 6, classes), b.input("labels", Type.I32, 6), 0.1f)));
    }
    cases.add(
        new Case(
            "cross entropy, smoothed, of images with weights",
            FEW,
            b ->
                b.multiply(
                    b.crossEntropy(
                        b.input("x", Type.F32, 7, 13), b.input("labels", Type.I32, 7), 0.1f),
                    b.input("weights", Type.F32, 7))));
    cases.add(
        new Case(
            "label rank",
            0,
            b -> b.labelRank(b.input("x", Type.F32, 6, 5), b.input("labels", Type.I32, 6))));
    cases.add(
        new Case(
            "softmax without noise",
            FEW,
            b ->
                b.gumbelSoftmax(
                    b.input("theta", Type.F32, 5, 9),
                    b.control("tau", Type.F32),
                    b.control("seed", Type.I64),
                    b.control("step", Type.I64),
                    1,
                    Op.GumbelSoftmax.NO_NOISE)));
    cases.add(new Case("hard max", 0, b -> b.hardMax(b.input("x", Type.F32, 3, 5, 9))));
    for (int rows : new int[] {1, 3}) {
      cases.add(
          new Case(
              "gumbel softmax, rows " + rows,
              FEW,
              b ->
                  b.gumbelSoftmax(
                      b.input("theta", Type.F32, 5, 9),
                      b.control("tau", Type.F32),
                      b.control("seed", Type.I64),
                      b.control("step", Type.I64),
                      rows,
                      7)));
    }
    cases.add(
        new Case(
            "unstack and mix again",
            FEW,
            b -> {
              List<Value> parts = b.unstack(b.input("x", Type.F32, 3, 4, 9));
              // The second part is left out: its gradient is zeros.
              return b.sum(List.of(parts.get(0), parts.get(2), parts.get(3)));
            }));
    float[] table = new float[45];
    for (int i = 0; i < table.length; i++) {
      table[i] = 0.3f + 0.01f * (i * 7 % 13);
    }
    cases.add(
        new Case(
            "dot with constants",
            FEW,
            b -> b.dotConstants(b.input("x", Type.F32, 3, 5, 9), Constants.of(table), 2.5f)));
    cases.add(
        new Case(
            "log, power and scale",
            FEW,
            b -> {
              Value x = b.input("positive", Type.F32, 11);
              Value log = b.pointwise(x, Op.Function.LOG, 1.2f);
              return b.pointwise(
                  b.pointwise(log, Op.Function.POWER, 0.6f), Op.Function.SCALE, 0.2f);
            }));
    for (int[] s : new int[][] {{7, 7}, {7, 1}, {1, 7}, {1, 1}}) {
      cases.add(
          new Case(
              "product of %d and %d".formatted(s[0], s[1]),
              FEW,
              b -> b.multiply(b.input("a", Type.F32, s[0]), b.input("b", Type.F32, s[1]))));
    }
    cases.add(new Case("mean", FEW, b -> b.mean(b.input("x", Type.F32, 13))));
  }
}
