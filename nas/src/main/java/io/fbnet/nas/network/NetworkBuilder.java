package io.fbnet.nas.network;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.space.Activation;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Appends the parts of a network to a graph. Parameters carry the same names in the supernet and in
 * a network cut from it: {@code layers.3.k3_e6.expand.weight}. Convolutions start normal with
 * variance 2 / fan-out, batch norms as the identity, the classifier with deviation 0.01. What is
 * public are the names by which stores and programs know sets and controls.
 */
public final class NetworkBuilder {
  /** The parameter set of everything that SGD trains. */
  public static final String WEIGHTS = "weights";

  /** The parameter set of running means and variances. */
  public static final String STATISTICS = "statistics";

  /** What the names of all parameters of blocks begin with. */
  static final String BLOCKS = "layers.";

  /** The control scalar by which running statistics move, 0.1 in training. */
  public static final String NORM_MOMENTUM = "norm momentum";

  private static final float EPSILON = 1e-5f;
  private static final double CLASSIFIER_DEVIATION = 0.01;

  /** The share of a block's inner channels that squeeze-and-excitation goes by way of. */
  private static final double SQUEEZED = 0.25;

  private final GraphBuilder graph;
  private final SearchSpace space;
  private final NormMode mode;
  private final boolean setsOfBlocks;
  private final String weights;
  private final String statistics;
  private String set;

  /** All parameters lie in one set. */
  NetworkBuilder(GraphBuilder graph, SearchSpace space, NormMode mode) {
    this(graph, space, mode, false);
  }

  /**
   * A builder.
   *
   * @param setsOfBlocks whether the parameters of each block in its place are a set of their own,
   *     so that an update need not touch the others
   */
  NetworkBuilder(GraphBuilder graph, SearchSpace space, NormMode mode, boolean setsOfBlocks) {
    this(graph, space, mode, setsOfBlocks, WEIGHTS, STATISTICS);
  }

  /**
   * A builder of a part of a network.
   *
   * @param weights the set of its parameters, but for the classifier's
   * @param statistics the set of its running statistics
   */
  NetworkBuilder(
      GraphBuilder graph, SearchSpace space, NormMode mode, String weights, String statistics) {
    this(graph, space, mode, false, weights, statistics);
  }

  private NetworkBuilder(
      GraphBuilder graph,
      SearchSpace space,
      NormMode mode,
      boolean setsOfBlocks,
      String weights,
      String statistics) {
    this.graph = graph;
    this.space = space;
    this.mode = mode;
    this.setsOfBlocks = setsOfBlocks;
    this.weights = weights;
    this.statistics = statistics;
    set = weights;
  }

  /** Where the parameters of a block in its place lie. */
  String setOf(LayerSpec layer, Block block) {
    return setsOfBlocks ? weights + "." + place(layer, block) : weights;
  }

  private static String place(LayerSpec layer, Block block) {
    return BLOCKS + layer.index() + "." + block.name();
  }

  /** The input of normalised images, f32 [N,C,H,W]: for timing and export. */
  Value images(int batch) {
    SearchSpace.Input in = space.input();
    return graph.input(BatchInputs.IMAGES, Type.F32, batch, in.channels(), in.height(), in.width());
  }

  /** Images made of those of {@link BatchInputs}. */
  Value images(int batch, Normalisation normalisation) {
    return BatchInputs.images(graph, space.input(), batch, normalisation);
  }

  /** 3x3 convolution, batch norm, the space's activation. */
  Value stem(Value images) {
    int width = space.stem().width();
    Value y = convolution("stem.conv", images, width, 3, space.stem().stride(), 1);
    return norm("stem.bn", y, space.activation());
  }

  /** All candidates of a layer on the same input, in the order of the space. */
  List<Value> candidates(LayerSpec layer, Value x) {
    List<Value> results = new ArrayList<>();
    for (Block block : space.blocks()) {
      results.add(block(layer, block, x));
    }
    return results;
  }

  /**
   * One block in its place.
   *
   * @throws IllegalArgumentException with a sentence to show, if its output has another shape
   */
  Value block(LayerSpec layer, Block block, Value x) {
    set = setOf(layer, block);
    Value y = block.build(new Parts(place(layer, block)), layer, x);
    set = weights;
    Shape shape = y.shape();
    Shape wanted =
        Shape.of(x.shape().get(0), layer.outChannels(), layer.outHeight(), layer.outWidth());
    if (!shape.equals(wanted)) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "the block %s gives %s in layer %s, which needs %s",
              block.name(),
              shape,
              layer.name(),
              wanted));
    }
    return y;
  }

  /** The parts of a block, named after its place. */
  private final class Parts implements BlockBuilder {
    private final String prefix;

    Parts(String prefix) {
      this.prefix = prefix;
    }

    @Override
    public GraphBuilder graph() {
      return graph;
    }

    @Override
    public String name(String part) {
      return prefix + "." + part;
    }

    @Override
    public String weights() {
      return set;
    }

    @Override
    public boolean alwaysPw() {
      return space.alwaysPw();
    }

    @Override
    public Value convolution(String part, Value x, int out, int kernel, int stride, int groups) {
      return NetworkBuilder.this.convolution(name(part), x, out, kernel, stride, groups);
    }

    @Override
    public Value norm(String part, Value x, boolean relu) {
      return NetworkBuilder.this.norm(name(part), x, relu);
    }

    @Override
    public Value norm(String part, Value x, Activation activation) {
      return NetworkBuilder.this.norm(name(part), x, activation);
    }

    @Override
    public Value squeezeAndExcitation(String part, Value x) {
      int channels = x.shape().get(1);
      int squeezed = SearchSpace.multipleOf8(channels * SQUEEZED);
      Value y = linear(name(part) + ".reduce", graph.globalPool(x), squeezed);
      y = linear(name(part) + ".expand", graph.pointwise(y, Op.Function.RELU), channels);
      return graph.scaleChannels(x, graph.pointwise(y, Op.Function.HARD_SIGMOID));
    }

    private Value linear(String name, Value x, int out) {
      Initial.Normal start = new Initial.Normal(Math.sqrt(2.0 / out));
      Value w = graph.parameter(set, name + ".weight", true, start, out, x.shape().get(1));
      Value bias = graph.parameter(set, name + ".bias", false, new Initial.Constant(0), out);
      return graph.linear(x, w, bias);
    }
  }

  /** 1x1 convolution, batch norm, activation, global average pool, fully connected: [N,classes]. */
  Value head(Value x) {
    Value y = convolution("head.conv", x, space.head(), 1, 1, 1);
    Value pooled = graph.globalPool(norm("head.bn", y, space.activation()));
    Value weight =
        graph.parameter(
            WEIGHTS,
            "classifier.weight",
            true,
            new Initial.Normal(CLASSIFIER_DEVIATION),
            space.classes(),
            space.head());
    Value bias =
        graph.parameter(
            WEIGHTS, "classifier.bias", false, new Initial.Constant(0), space.classes());
    return graph.linear(pooled, weight, bias);
  }

  /** A network in which each run takes one candidate of every layer: logits [N,classes]. */
  Value paths(Value images) {
    Value x = stem(images);
    for (LayerSpec layer : space.layers()) {
      x = chosen(layer, x, Optional.empty());
    }
    return head(x);
  }

  /**
   * The candidate of a layer that a run takes.
   *
   * @param m coefficients of the candidates [1,K], of which the one taken is multiplied by its own
   */
  Value chosen(LayerSpec layer, Value x, Optional<Value> m) {
    List<Block> blocks = space.blocks();
    List<Value> xs = graph.branch(x, layer.index(), blocks.size());
    Optional<List<Value>> ms = m.map(all -> graph.branch(all, layer.index(), blocks.size()));
    List<Value> ys = new ArrayList<>();
    for (int k = 0; k < xs.size(); k++) {
      Value y = block(layer, blocks.get(k), xs.get(k));
      ys.add(
          ms.isEmpty() ? y : graph.weightedSum(List.of(y), graph.coefficient(ms.get().get(k), k)));
    }
    return graph.choose(ys, layer.index());
  }

  /** A whole network of one block a layer: logits [N,classes]. */
  Value network(Value images, List<Block> blocks) {
    Value x = stem(images);
    for (LayerSpec layer : space.layers()) {
      x = block(layer, blocks.get(layer.index()), x);
    }
    return head(x);
  }

  private Value convolution(String name, Value x, int out, int kernel, int stride, int groups) {
    int in = x.shape().get(1);
    double fanOut = (double) kernel * kernel * out / groups;
    Value weight =
        graph.parameter(
            set,
            name + ".weight",
            true,
            new Initial.Normal(Math.sqrt(2 / fanOut)),
            out,
            in / groups,
            kernel,
            kernel);
    return graph.convolution(x, weight, stride, groups);
  }

  /** Batch norm, which has a ReLU of its own, then any other activation. */
  private Value norm(String name, Value x, Activation activation) {
    boolean relu = activation == Activation.RELU;
    Value y = norm(name, x, relu);
    return relu ? y : graph.pointwise(y, activation.function());
  }

  private Value norm(String name, Value x, boolean relu) {
    int channels = x.shape().get(1);
    Value gamma = graph.parameter(set, name + ".weight", false, new Initial.Constant(1), channels);
    Value beta = graph.parameter(set, name + ".bias", false, new Initial.Constant(0), channels);
    Value mean =
        graph.parameter(
            statistics, name + ".running_mean", false, new Initial.Constant(0), channels);
    Value variance =
        graph.parameter(
            statistics, name + ".running_var", false, new Initial.Constant(1), channels);
    if (mode == NormMode.INFERENCE) {
      return graph.batchNormInference(x, gamma, beta, mean, variance, EPSILON, relu);
    }
    Value momentum = mode == NormMode.TRAIN ? graph.control(NORM_MOMENTUM, Type.F32) : null;
    return graph.batchNorm(x, gamma, beta, mean, variance, momentum, EPSILON, relu);
  }
}
