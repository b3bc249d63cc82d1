package io.fbnet.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.ParameterSpec.Initial;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A wrong shape is refused when the graph is built, in a sentence that names what clashes. */
class GraphBuilderTest {
  private static Value f32(GraphBuilder b, String name, int... shape) {
    return b.input(name, Type.F32, shape);
  }

  private static Arguments refused(String what, Consumer<GraphBuilder> build, String... names) {
    return Arguments.of(what, build, List.of(names));
  }

  static Stream<Arguments> wrongShapes() {
    return Stream.of(
        refused(
            "pixels that are no bytes",
            b ->
                b.normaliseImages(
                    f32(b, "x", 2, 1, 4, 4),
                    b.input("windows", Type.I32, 2, 3),
                    Constants.of(0),
                    Constants.of(1)),
            "x[2, 1, 4, 4]",
            "F32"),
        refused(
            "windows of other images",
            b ->
                b.normaliseImages(
                    b.input("x", Type.U8, 2, 1, 4, 4),
                    b.input("windows", Type.I32, 3, 3),
                    Constants.of(0),
                    Constants.of(1)),
            "x[2, 1, 4, 4]",
            "windows[3, 3]"),
        refused(
            "means of other channels",
            b ->
                b.normaliseImages(
                    b.input("x", Type.U8, 2, 3, 4, 4),
                    b.input("windows", Type.I32, 2, 3),
                    Constants.of(0),
                    Constants.of(1, 1, 1)),
            "1 means and 3 deviations",
            "x[2, 3, 4, 4]"),
        refused(
            "channels of a convolution",
            b -> b.convolution(f32(b, "x", 2, 3, 4, 4), f32(b, "w", 8, 4, 1, 1), 1, 1),
            "[2, 3, 4, 4]",
            "[8, 4, 1, 1]"),
        refused(
            "groups of a convolution",
            b -> b.convolution(f32(b, "x", 2, 6, 4, 4), f32(b, "w", 7, 2, 1, 1), 1, 3),
            "[2, 6, 4, 4]",
            "[7, 2, 1, 1]",
            "3 groups"),
        refused(
            "an even kernel",
            b -> b.convolution(f32(b, "x", 2, 3, 4, 4), f32(b, "w", 8, 3, 2, 2), 1, 1),
            "[8, 3, 2, 2]"),
        refused(
            "an oblong kernel",
            b -> b.convolution(f32(b, "x", 2, 3, 4, 4), f32(b, "w", 8, 3, 3, 1), 1, 1),
            "[8, 3, 3, 1]"),
        refused(
            "a stride of 3",
            b -> b.convolution(f32(b, "x", 2, 3, 4, 4), f32(b, "w", 8, 3, 3, 3), 3, 1),
            "not 3"),
        refused(
            "a convolution of a matrix",
            b -> b.convolution(f32(b, "x", 2, 3), f32(b, "w", 8, 3, 1, 1), 1, 1),
            "[2, 3]"),
        refused(
            "channels of a batch norm",
            b -> {
              Value v = f32(b, "gamma", 4);
              b.batchNorm(f32(b, "x", 2, 3, 4, 4), v, v, v, v, null, 1e-5f, true);
            },
            "[4]",
            "[2, 3, 4, 4]"),
        refused(
            "channels of a batch norm at inference",
            b -> {
              Value v = f32(b, "gamma", 4);
              b.batchNormInference(f32(b, "x", 2, 3, 4, 4), v, v, v, v, 1e-5f, true);
            },
            "[4]",
            "[2, 3, 4, 4]"),
        refused(
            "a sum",
            b -> b.sum(List.of(f32(b, "x", 2, 3), f32(b, "y", 3, 2))),
            "x[2, 3]",
            "y[3, 2]"),
        refused("a sum of nothing", b -> b.sum(List.of()), "nothing"),
        refused(
            "a channel shuffle",
            b -> b.channelShuffle(f32(b, "x", 2, 3, 4, 4), 2),
            "x[2, 3, 4, 4]",
            "2 groups"),
        refused(
            "values of a weighted sum",
            b ->
                b.weightedSum(
                    List.of(f32(b, "x", 2, 3, 4, 4), f32(b, "y", 2, 3, 4, 5)), f32(b, "m", 1, 2)),
            "[2, 3, 4, 4]",
            "[2, 3, 4, 5]"),
        refused(
            "coefficients of a weighted sum",
            b -> b.weightedSum(List.of(f32(b, "x", 2, 3, 4, 4)), f32(b, "m", 3, 1)),
            "m[3, 1]",
            "x[2, 3, 4, 4]"),
        refused(
            "a weighted sum of nothing",
            b -> b.weightedSum(List.of(), f32(b, "m", 1, 1)),
            "nothing"),
        refused(
            "theta of one axis",
            b ->
                b.gumbelSoftmax(
                    f32(b, "theta", 9),
                    b.control("tau", Type.F32),
                    b.control("seed", Type.I64),
                    b.control("step", Type.I64),
                    1,
                    0),
            "theta[9]"),
        refused(
            "a seed in f32",
            b -> {
              Value f = b.control("tau", Type.F32);
              b.gumbelSoftmax(f32(b, "theta", 2, 9), f, f, b.control("step", Type.I64), 1, 0);
            },
            "64-bit"),
        refused(
            "a sigmoid of images",
            b -> b.pointwise(f32(b, "x", 2, 3, 4, 4), Op.Function.SIGMOID),
            "SIGMOID",
            "x[2, 3, 4, 4]"),
        refused(
            "factors of other channels",
            b -> b.scaleChannels(f32(b, "x", 2, 3, 4, 4), f32(b, "s", 2, 4)),
            "x[2, 3, 4, 4]",
            "s[2, 4]"),
        refused("unstack of a matrix", b -> b.unstack(f32(b, "x", 2, 3)), "x[2, 3]"),
        refused("pooling of a matrix", b -> b.globalPool(f32(b, "x", 2, 3)), "x[2, 3]"),
        refused(
            "weights of a linear layer",
            b -> b.linear(f32(b, "x", 2, 3), f32(b, "w", 5, 4), f32(b, "b", 5)),
            "x[2, 3]",
            "w[5, 4]",
            "b[5]"),
        refused(
            "labels",
            b -> b.crossEntropy(f32(b, "x", 2, 3), b.input("labels", Type.I32, 3)),
            "labels[3]",
            "x[2, 3]"),
        refused(
            "labels of a rank",
            b -> b.labelRank(f32(b, "x", 2, 3), b.input("labels", Type.I32, 3)),
            "labels[3]",
            "x[2, 3]"),
        refused(
            "a table of constants",
            b -> b.dotConstants(f32(b, "x", 2, 3), Constants.of(1, 2), 0),
            "x[2, 3]",
            "2 constants"),
        refused("a product", b -> b.multiply(f32(b, "x", 2), f32(b, "y", 3)), "x[2]", "y[3]"),
        refused(
            "an input declared twice",
            b -> {
              f32(b, "x", 2, 3);
              f32(b, "x", 3, 2);
            },
            "[2, 3]",
            "[3, 2]"),
        refused(
            "an input of two types",
            b -> {
              b.input("x", Type.F32, 3);
              b.input("x", Type.I32, 3);
            },
            "F32 [3]",
            "I32 [3]"),
        refused("a dimension of 0", b -> f32(b, "x", 2, 0), "[2, 0]"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("wrongShapes")
  void isRefused(String what, Consumer<GraphBuilder> build, List<String> names) {
    GraphBuilder b = new GraphBuilder();
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> build.accept(b), what);
    names.forEach(n -> assertTrue(e.getMessage().contains(n), n + " in: " + e.getMessage()));
    assertEquals(List.of(), b.build().ops(), "a refused operation leaves nothing behind");
  }

  @Test
  void stridesRoundUp() {
    GraphBuilder b = new GraphBuilder();
    Value y = b.convolution(f32(b, "x", 2, 3, 9, 7), f32(b, "w", 8, 3, 5, 5), 2, 1);
    assertEquals(Shape.of(2, 8, 5, 4), y.shape());
  }

  @Test
  void aParameterDeclaredAgainIsTheSame() {
    GraphBuilder b = new GraphBuilder();
    Value one = b.parameter("w", "a", true, new Initial.Normal(1), 3, 2);
    assertSame(one, b.parameter("w", "a", true, new Initial.Normal(1), 3, 2));
    assertEquals(1, b.build().parameters().size());
  }

  @Test
  void aSumOfOneIsThatOne() {
    GraphBuilder b = new GraphBuilder();
    Value x = f32(b, "x", 3);
    assertSame(x, b.sum(List.of(x)));
  }

  @Test
  void aBuiltGraphDoesNotGrow() {
    GraphBuilder b = new GraphBuilder();
    Value x = f32(b, "x", 3);
    b.mean(x);
    Graph graph = b.build();
    b.mean(x);
    assertEquals(1, graph.ops().size());
  }
}
