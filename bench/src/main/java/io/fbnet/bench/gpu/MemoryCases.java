package io.fbnet.bench.gpu;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * Operations that move more bytes than they compute, each of a size that no cache holds. The bytes
 * are the fewest that the operation can move: a batch norm by the batch's own statistics must read
 * its input twice, its gradient both inputs twice.
 */
final class MemoryCases {
  private static final String WEIGHTS = "weights";
  private static final int CANDIDATES = 9;

  private final long target;
  private final int elementBytes;
  private final boolean tiny;
  private final List<KernelCase> cases = new ArrayList<>();

  private MemoryCases(long target, int elementBytes, boolean tiny) {
    this.target = target;
    this.elementBytes = elementBytes;
    this.tiny = tiny;
  }

  /**
   * Every case.
   *
   * @param target bytes that one pass moves, about
   * @param elementBytes of an image
   * @param tiny whether images are a few pixels, to see that everything runs
   */
  static List<KernelCase> all(long target, int elementBytes, boolean tiny) {
    MemoryCases all = new MemoryCases(target, elementBytes, tiny);
    all.mixes();
    all.norms();
    all.depthwise();
    all.others();
    all.updates();
    return all.cases;
  }

  /** Images of the given channels and side, as many as {@code arrays} of them need. */
  private int[] shape(int channels, int side, double arrays) {
    int pixels = tiny ? 6 : side;
    double image = (double) channels * pixels * pixels * elementBytes * arrays;
    return new int[] {(int) Math.max(2, Math.ceil(target / image)), channels, pixels, pixels};
  }

  private static long elements(int[] shape) {
    return (long) shape[0] * shape[1] * shape[2] * shape[3];
  }

  private static String words(int[] s) {
    return String.format(Locale.ROOT, "%dx%dx%dx%d", s[0], s[1], s[2], s[3]);
  }

  private void add(
      String name, int[] s, double arrays, GraphBuilder builder, Class<? extends Op> kind) {
    add(name, s, arrays, KernelCase.only(builder, kind));
  }

  private void add(String name, int[] s, double arrays, Graph graph) {
    cases.add(new KernelCase(name, words(s), graph, Math.round(elements(s) * arrays), 0, 0));
  }

  /** A gradient: the builder's value is differentiated for the given inputs or parameters. */
  private void gradient(
      String name,
      int[] s,
      double arrays,
      Function<GraphBuilder, Value> forward,
      Function<GraphBuilder, Value> wanted,
      Class<? extends Op> kind) {
    GraphBuilder b = new GraphBuilder();
    Value y = forward.apply(b);
    int[] shape = new int[y.shape().rank()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = y.shape().get(i);
    }
    Autodiff.pullback(b, y, b.input("dy", Type.F32, shape), List.of(wanted.apply(b)));
    add(name, s, arrays, b, kind);
  }

  private static Value x(GraphBuilder b, int[] s) {
    return b.input("x", Type.F32, s);
  }

  private void mixes() {
    int[] wide = shape(24, 56, CANDIDATES + 1);
    int[] pair = shape(24, 56, 2);
    Function<GraphBuilder, Value> m = b -> b.input("m", Type.F32, 1, CANDIDATES);
    Function<int[], Function<GraphBuilder, Value>> mix =
        s ->
            b -> {
              List<Value> xs = new ArrayList<>();
              for (int i = 0; i < CANDIDATES; i++) {
                xs.add(b.input("x" + i, Type.F32, s));
              }
              return b.weightedSum(xs, m.apply(b));
            };
    GraphBuilder b = new GraphBuilder();
    b.output("y", mix.apply(wide).apply(b));
    add("weighted sum of 9", wide, CANDIDATES + 1, b, Op.WeightedSum.class);
    gradient(
        "weighted sum of 9, gradient of coefficients",
        wide,
        CANDIDATES + 1,
        mix.apply(wide),
        m,
        Op.WeightedSumBackwardCoefficients.class);
    gradient(
        "weighted sum of 9, gradient of one candidate",
        pair,
        2,
        mix.apply(pair),
        g -> g.input("x0", Type.F32, pair),
        Op.WeightedSumBackwardInput.class);
    int[] three = shape(24, 56, 3);
    GraphBuilder sum = new GraphBuilder();
    sum.sum(List.of(x(sum, three), sum.input("z", Type.F32, three)));
    add("sum of 2", three, 3, sum, Op.Sum.class);
    GraphBuilder copy = new GraphBuilder();
    Value from = x(copy, pair);
    // The builder has no copy of its own; autodiff makes one where two parameters share a gradient.
    Op.Sum one = new Op.Sum(List.of(from), new Value(1 << 20, "copy", from.shape(), Type.F32));
    Graph graph = new Graph(List.of(one), copy.build().storage(), List.of(), Map.of());
    cases.add(new KernelCase("copy by our kernel", words(pair), graph, 2 * elements(pair), 0, 0));
  }

  private Value norm(GraphBuilder b, int[] s) {
    int c = s[1];
    return b.batchNorm(
        x(b, s),
        b.parameter(WEIGHTS, "gamma", false, new Initial.Constant(1), c),
        b.parameter(WEIGHTS, "beta", false, new Initial.Constant(0), c),
        b.parameter("statistics", "mean", false, new Initial.Constant(0), c),
        b.parameter("statistics", "variance", false, new Initial.Constant(1), c),
        b.control("momentum", Type.F32),
        1e-5f,
        true);
  }

  private void norms() {
    int[] s = shape(144, 56, 3);
    GraphBuilder forward = new GraphBuilder();
    norm(forward, s);
    add("batch norm and ReLU", s, 3, forward, Op.BatchNorm.class);
    int[] five = shape(144, 56, 5);
    gradient(
        "batch norm and ReLU, gradient",
        five,
        5,
        b -> norm(b, five),
        b -> x(b, five),
        Op.BatchNormBackward.class);
    int[] two = shape(144, 56, 2);
    GraphBuilder inference = new GraphBuilder();
    int c = two[1];
    inference.batchNormInference(
        x(inference, two),
        inference.input("gamma", Type.F32, c),
        inference.input("beta", Type.F32, c),
        inference.input("mean", Type.F32, c),
        inference.input("variance", Type.F32, c),
        1e-5f,
        true);
    add("batch norm and ReLU, inference", two, 2, inference, Op.BatchNormInference.class);
  }

  private void depthwise() {
    for (int kernel : new int[] {3, 5}) {
      for (int stride : new int[] {1, 2}) {
        double arrays = 1 + 1.0 / (stride * stride);
        int[] s = shape(144, 56, arrays);
        String name = String.format(Locale.ROOT, "depthwise %dx%d s%d", kernel, kernel, stride);
        Function<GraphBuilder, Value> w =
            b -> b.parameter(WEIGHTS, "w", true, new Initial.Constant(1), s[1], 1, kernel, kernel);
        Function<GraphBuilder, Value> forward =
            b -> b.convolution(x(b, s), w.apply(b), stride, s[1]);
        GraphBuilder b = new GraphBuilder();
        b.output("y", forward.apply(b));
        add(name, s, arrays, b, Op.Convolution.class);
        gradient(
            name + ", gradient of images",
            s,
            arrays,
            forward,
            g -> x(g, s),
            Op.ConvolutionBackwardData.class);
        gradient(
            name + ", gradient of weights",
            s,
            arrays,
            forward,
            w,
            Op.ConvolutionBackwardWeights.class);
        normalisedDepthwise(name, s, arrays, w, stride);
      }
    }
  }

  /** The same on images that are normalised while they are read, so with no more bytes. */
  private void normalisedDepthwise(
      String name, int[] s, double arrays, Function<GraphBuilder, Value> w, int stride) {
    Function<GraphBuilder, Value> forward =
        b ->
            b.convolution(
                b.batchNormApply(
                    x(b, s),
                    b.input("gamma", Type.F32, s[1]),
                    b.input("beta", Type.F32, s[1]),
                    b.input("mean", Type.F32, s[1]),
                    b.input("inverse", Type.F32, s[1]),
                    true),
                w.apply(b),
                stride,
                s[1]);
    GraphBuilder b = new GraphBuilder();
    b.output("y", forward.apply(b));
    Set<Class<? extends Op>> kinds = Set.of(Op.BatchNormApply.class, Op.Convolution.class);
    add(name + ", normalised", s, arrays, KernelCase.only(b, kinds));
    GraphBuilder g = new GraphBuilder();
    Value y = forward.apply(g);
    Value dy =
        g.input(
            "dy", Type.F32, y.shape().get(0), y.shape().get(1), y.shape().get(2), y.shape().get(3));
    Autodiff.pullback(g, y, dy, List.of(w.apply(g)));
    Set<Class<? extends Op>> gradient =
        Set.of(Op.BatchNormApply.class, Op.ConvolutionBackwardWeights.class);
    add(name + ", gradient of weights, normalised", s, arrays, KernelCase.only(g, gradient));
  }

  private void others() {
    int[] s = shape(64, 28, 2);
    GraphBuilder shuffle = new GraphBuilder();
    shuffle.channelShuffle(x(shuffle, s), 2);
    add("channel shuffle", s, 2, shuffle, Op.ChannelShuffle.class);
    int[] deep = shape(1504, 7, 1);
    GraphBuilder pool = new GraphBuilder();
    pool.globalPool(x(pool, deep));
    add("global pool", deep, 1, pool, Op.GlobalPool.class);
    gradient(
        "global pool, gradient",
        deep,
        1,
        b -> b.globalPool(x(b, deep)),
        b -> x(b, deep),
        Op.GlobalPoolBackward.class);
  }

  private void updates() {
    long n = Math.max(64, target / (5 * Float.BYTES));
    GraphBuilder sgd = new GraphBuilder();
    sgd.parameter(WEIGHTS, "w", true, new Initial.Constant(1), Math.toIntExact(n));
    sgd.sgd(WEIGHTS, sgd.control("rate", Type.F32), sgd.control("finite", Type.F32), 0.9f, 1e-4f);
    vector("SGD update", n, 5, KernelCase.only(sgd, Op.SgdUpdate.class));
    GraphBuilder finite = new GraphBuilder();
    finite.parameter(WEIGHTS, "w", true, new Initial.Constant(1), Math.toIntExact(n));
    finite.allFinite(List.of(finite.flat(WEIGHTS, Storage.Flat.GRADIENTS)));
    vector("all finite", n, 1, KernelCase.only(finite, Op.AllFinite.class));
  }

  private void vector(String name, long n, int arrays, Graph graph) {
    cases.add(new KernelCase(name, n + " f32", graph, 0, n * arrays * Float.BYTES, 0));
  }
}
