package io.fbnet.engine.program;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.Arrays;
import java.util.List;

/** Cases of activations by themselves and of squeeze-and-excitation. */
final class ActivationCases {
  private static final List<Op.Function> OF_IMAGES =
      List.of(Op.Function.RELU, Op.Function.SWISH, Op.Function.HARD_SWISH);

  private static final List<Op.Function> OF_VECTORS =
      List.of(
          Op.Function.RELU,
          Op.Function.SIGMOID,
          Op.Function.HARD_SIGMOID,
          Op.Function.SWISH,
          Op.Function.HARD_SWISH);

  private ActivationCases() {}

  static void add(List<OperationCases.Case> cases) {
    for (Op.Function f : OF_IMAGES) {
      for (int[] s : new int[][] {{3, 5, 7, 9}, {2, 24, 4, 4}, {1, 3, 1, 1}}) {
        cases.add(
            new OperationCases.Case(
                "%s of images %s".formatted(f, Arrays.toString(s)),
                OperationCases.FEW,
                b -> b.pointwise(b.input("wide", Type.F32, s), f)));
      }
      cases.add(
          new OperationCases.Case(
              "batch norm, %s, depthwise".formatted(f),
              OperationCases.SUMS,
              b ->
                  b.convolution(
                      b.pointwise(norm(b, b.input("x", Type.F32, 3, 21, 6, 5)), f),
                      weights(b, "w", 21, 1, 3, 3),
                      1,
                      21)));
    }
    for (Op.Function f : OF_VECTORS) {
      cases.add(
          new OperationCases.Case(
              "%s of a matrix".formatted(f),
              OperationCases.FEW,
              b -> b.pointwise(b.input("wide", Type.F32, 7, 13), f)));
    }
    int[][] sizes = {{3, 5, 7, 9}, {2, 24, 4, 4}, {2, 72, 14, 13}, {2, 264, 3, 5}, {1, 3, 1, 1}};
    for (int[] s : sizes) {
      cases.add(
          new OperationCases.Case(
              "scale of channels " + Arrays.toString(s),
              OperationCases.SUMS,
              b -> b.scaleChannels(b.input("x", Type.F32, s), b.input("s", Type.F32, s[0], s[1]))));
    }
    for (int c : new int[] {5, 24}) {
      cases.add(
          new OperationCases.Case(
              "squeeze-and-excitation of %d channels".formatted(c),
              OperationCases.SUMS,
              b -> squeezeAndExcitation(b, c)));
    }
  }

  /**
   * As a block of a search space has it, behind a norm's activation and before a projection, but
   * with smooth functions: a narrow type may put a number on the other side of a corner.
   */
  private static Value squeezeAndExcitation(GraphBuilder b, int c) {
    Value y = b.pointwise(norm(b, b.input("x", Type.F32, 3, c, 7, 6)), Op.Function.SWISH);
    Value squeezed =
        b.pointwise(
            b.linear(b.globalPool(y), weights(b, "w1", 4, c), weights(b, "b1", 4)),
            Op.Function.SWISH);
    Value gate =
        b.pointwise(
            b.linear(squeezed, weights(b, "w2", c, 4), weights(b, "b2", c)), Op.Function.SIGMOID);
    return b.convolution(b.scaleChannels(y, gate), weights(b, "w3", 7, c, 1, 1), 1, 1);
  }

  private static Value norm(GraphBuilder b, Value x) {
    int c = x.shape().get(1);
    return b.batchNorm(
        x,
        weights(b, "gamma", c),
        weights(b, "beta", c),
        b.parameter("statistics", "mean", false, new Initial.Normal(1), c),
        b.parameter("statistics", "variance", false, new Initial.Normal(1), c),
        b.control("momentum", Type.F32),
        1e-5f,
        false);
  }

  private static Value weights(GraphBuilder b, String name, int... shape) {
    return b.parameter("weights", name, true, new Initial.Normal(1), shape);
  }
}
