package io.fbnet.nas.onnx;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.file.ProtobufMessage;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Translates a graph for inference operation by operation. The first dimension of inputs and
 * outputs becomes the batch of the options, or symbolic; the batch that the graph was built for
 * does not matter.
 */
final class GraphTranslation {
  private final Graph graph;
  private final ParameterValues values;
  private final OnnxExport.Options options;
  private final GraphMessage target;
  private final Names names = new Names();
  private final Names nodeNames = new Names();
  private final Map<Value, Integer> readers = new HashMap<>();
  private final Map<Value, Op.BatchNormInference> normOf = new HashMap<>();
  private final Set<Op> folded = new HashSet<>();
  private final QdqNodes qdq;

  /** Of values that are kept in eight bits; a channel shuffle's result has that of its input. */
  private final Map<Value, Range> ranges;

  private final Set<Value> integers;

  /** Vectors that stay images of one pixel, as means over images are at first. */
  private final Set<Value> pixels;

  /** Outputs of the graph that an operation has written under their own names. */
  private final Set<String> written = new HashSet<>();

  private GraphTranslation(Graph graph, ParameterValues values, OnnxExport.Options options) {
    this.graph = graph;
    this.values = values;
    this.options = options;
    target = new GraphMessage(options.name(), options.batch());
    qdq = new QdqNodes(target, names, nodeNames);
    ranges = new HashMap<>(options.quantisation().map(Quantisation::ranges).orElse(Map.of()));
    integers = options.quantisation().map(Quantisation::integers).orElse(Set.of());
    pixels = Gates.of(graph);
  }

  static ProtobufMessage of(Graph graph, ParameterValues values, OnnxExport.Options options) {
    return new GraphTranslation(graph, values, options).translate();
  }

  /** A node of this name, or the first of name_2, name_3, ... that no other node has. */
  private GraphMessage.Node node(
      String name, String operation, List<String> inputs, String output) {
    return GraphMessage.node(nodeNames.fresh(name), operation, inputs, output);
  }

  private ProtobufMessage translate() {
    findReaders();
    reserveNames();
    inputs();
    for (Op op : graph.ops()) {
      translate(op);
    }
    outputs();
    return target.message();
  }

  private void findReaders() {
    for (Op op : graph.ops()) {
      op.inputs().forEach(value -> readers.merge(value, 1, Integer::sum));
      if (op instanceof Op.BatchNormInference norm) {
        normOf.put(norm.x(), norm);
      }
    }
    graph.outputs().values().forEach(value -> readers.merge(value, 1, Integer::sum));
  }

  private void reserveNames() {
    graph
        .storage()
        .forEach(
            (value, storage) -> {
              if (storage instanceof Storage.Input input) {
                reserve(value, input.name());
              }
            });
    graph.outputs().forEach((name, value) -> reserve(value, name));
  }

  private void reserve(Value value, String name) {
    if (!names.reserve(value, name)) {
      throw UserException.data(
          "the graph has two inputs or outputs '%s', and ONNX tells them apart by name", name);
    }
  }

  private void inputs() {
    int batch = 0;
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      if (!(entry.getValue() instanceof Storage.Input input)) {
        continue;
      }
      Value value = entry.getKey();
      int first = value.shape().get(0);
      if (value.type() != Type.F32 || (batch != 0 && batch != first)) {
        throw UserException.data(
            "the input %s of type %s has no translation to ONNX: inputs are f32 of one batch",
            value, value.type());
      }
      batch = first;
      target.input(input.name(), dimensions(value.shape()), type(value));
      if (integers.contains(value)) {
        names.alias(value, qdq.dequantise(input.name(), ranges.get(value), input.name()));
        continue;
      }
      names.alias(value, input.name());
      if (options.normalisation().isPresent()) {
        normalise(value, input.name(), options.normalisation().get());
      }
      round(value, names.of(value));
    }
  }

  private int type(Value value) {
    return integers.contains(value) ? GraphMessage.UINT8 : GraphMessage.FLOAT;
  }

  /** The name under which an operation writes a value, before it is rounded if it is. */
  private String define(Value value, String name) {
    if (integers.contains(value)) {
      return names.fresh(name);
    }
    String chosen = names.define(value, name);
    if (graph.outputs().containsKey(chosen)) {
      written.add(chosen);
    }
    return chosen;
  }

  /** Has whatever reads a value read it rounded to eight bits, where it has a range. */
  private void round(Value value, String floats) {
    Range range = ranges.get(value);
    if (integers.contains(value)) {
      String name = names.define(value, floats);
      qdq.quantise(floats, range, name);
      written.add(name);
      names.alias(value, qdq.dequantise(name, range, floats));
    } else if (range != null) {
      names.alias(value, qdq.round(floats, range));
    }
  }

  /**
   * Nodes of their own: a convolution pads with zeros of normalised pixels, so folding mean and std
   * into its weights would change the borders.
   */
  private void normalise(Value value, String input, Normalisation normalisation) {
    int channels = normalisation.channels();
    if (value.shape().rank() != 4 || value.shape().get(1) != channels) {
      throw UserException.data(
          "the input %s cannot be normalised: mean and std are for images of %d channels",
          value, channels);
    }
    // Without a first 1, which OpenCV 4.6 takes for the batch's: of as many images as channels it
    // would normalise each by another channel's numbers, and refuse other batches.
    long[] shape = {channels, 1, 1};
    String mean = names.fresh(input + ".mean");
    String std = names.fresh(input + ".std");
    target.constant(mean, shape, floats(normalisation.mean()));
    target.constant(std, shape, floats(normalisation.std()));
    String centred = names.fresh(input + ".centred");
    String normalised = names.fresh(input + ".normalised");
    target.add(node(centred, "Sub", List.of(input, mean), centred));
    target.add(node(normalised, "Div", List.of(centred, std), normalised));
    names.alias(value, normalised);
  }

  private void outputs() {
    for (Map.Entry<String, Value> output : graph.outputs().entrySet()) {
      String name = output.getKey();
      Value value = output.getValue();
      if (!names.has(value)) {
        throw UserException.data(
            "the output '%s' has no translation to ONNX: no operation computes it", name);
      }
      String known = names.of(value);
      if (!known.equals(name) && !written.contains(name)) {
        target.add(node(name, "Identity", List.of(known), name));
      }
      target.output(name, dimensions(value.shape()), type(value));
    }
  }

  private void translate(Op op) {
    switch (op) {
      case Op.Convolution c -> convolution(c);
      case Op.BatchNormInference bn -> {
        if (!folded.contains(bn)) {
          batchNorm(bn);
        }
      }
      case Op.Sum sum -> sum(sum);
      case Op.ChannelShuffle shuffle -> channelShuffle(shuffle);
      case Op.GlobalPool pool -> globalPool(pool);
      case Op.Linear linear -> linear(linear);
      case Op.Pointwise p -> pointwise(p);
      case Op.ScaleChannels scale -> scaleChannels(scale);
      case Op.BatchNorm bn ->
          throw UserException.data(
              "%s by a batch's own statistics has no translation to ONNX: export a graph for"
                  + " inference",
              bn.name());
      default -> throw UserException.data("the operation %s has no translation to ONNX", op.name());
    }
  }

  private void convolution(Op.Convolution c) {
    String layer = Names.layer(c.w());
    Op.BatchNormInference norm = normOf.get(c.y());
    boolean fold = options.foldBatchNorm() && norm != null && readers.get(c.y()) == 1;
    if (!fold) {
      String y = define(c.y(), layer);
      List<String> inputs =
          ranges.containsKey(c.x())
              ? rounded(c.x(), layer, dimensions(c.w().shape()), read(c.w()), new float[0])
              : List.of(computed(c.x()), parameter(c.w()));
      target.add(convolution(c, layer, inputs, y));
      round(c.y(), y);
      return;
    }
    FoldedConvolution merged =
        new FoldedConvolution(
            read(c.w()),
            read(norm.gamma()),
            read(norm.beta()),
            read(norm.runningMean()),
            read(norm.runningVariance()),
            norm.epsilon());
    List<String> inputs =
        ranges.containsKey(c.x())
            ? rounded(c.x(), layer, dimensions(c.w().shape()), merged.weights(), merged.bias())
            : List.of(
                computed(c.x()),
                constant(layer + ".weight", dimensions(c.w().shape()), merged.weights()),
                constant(layer + ".bias", new long[] {merged.bias().length}, merged.bias()));
    withRelu(norm, layer, y -> target.add(convolution(c, layer, inputs, y)));
    folded.add(norm);
  }

  private String constant(String name, long[] shape, float[] numbers) {
    String chosen = names.fresh(name);
    target.constant(chosen, shape, numbers);
    return chosen;
  }

  /** Names of a rounded value, and of weights and a bias, where there is one, in eight bits. */
  private List<String> rounded(Value x, String layer, long[] shape, float[] weights, float[] bias) {
    List<String> inputs = new ArrayList<>(List.of(computed(x)));
    Int8Weights parameters = new Int8Weights(weights, (int) shape[0], bias, ranges.get(x).scale());
    inputs.addAll(qdq.parameters(layer, shape, parameters));
    return inputs;
  }

  /**
   * The engine pads by half the kernel on every side, so that stride s gives ceil(in / s); ONNX is
   * told so in numbers, since its SAME_UPPER puts an odd pixel of padding elsewhere.
   */
  private GraphMessage.Node convolution(
      Op.Convolution c, String name, List<String> inputs, String y) {
    long kernel = c.w().shape().get(2);
    long pad = kernel / 2;
    return node(name, "Conv", inputs, y)
        .with("dilations", new long[] {1, 1})
        .with("group", c.groups())
        .with("kernel_shape", new long[] {kernel, kernel})
        .with("pads", new long[] {pad, pad, pad, pad})
        .with("strides", new long[] {c.stride(), c.stride()});
  }

  private void batchNorm(Op.BatchNormInference bn) {
    String layer = Names.layer(bn.gamma());
    List<String> inputs =
        List.of(
            computed(bn.x()),
            parameter(bn.gamma()),
            parameter(bn.beta()),
            parameter(bn.runningMean()),
            parameter(bn.runningVariance()));
    withRelu(
        bn,
        layer,
        y ->
            target.add(node(layer, "BatchNormalization", inputs, y).with("epsilon", bn.epsilon())));
  }

  /** Adds what {@code body} makes of a batch norm's output, and the ReLU where there is one. */
  private void withRelu(Op.BatchNormInference bn, String layer, Consumer<String> body) {
    if (!bn.relu()) {
      String y = define(bn.y(), layer);
      body.accept(y);
      round(bn.y(), y);
      return;
    }
    String before = names.fresh(layer);
    body.accept(before);
    String y = define(bn.y(), layer + ".relu");
    target.add(node(layer + ".relu", "Relu", List.of(before), y));
    round(bn.y(), y);
  }

  private void sum(Op.Sum sum) {
    List<String> inputs = sum.xs().stream().map(this::computed).toList();
    String y = define(sum.y(), "sum");
    String operation =
        switch (inputs.size()) {
          case 1 -> "Identity";
          case 2 -> "Add";
          default -> "Sum";
        };
    target.add(node(y, operation, inputs, y));
    round(sum.y(), y);
  }

  /**
   * Swaps groups and channels within a group. Rows and columns count as one dimension meanwhile:
   * run times for devices know four and no more.
   */
  private void channelShuffle(Op.ChannelShuffle shuffle) {
    Shape shape = shuffle.x().shape();
    // A 0 keeps the dimension of the input, whatever it is.
    long batch = options.batch().orElse(0);
    long channels = shape.get(1);
    long groups = shuffle.groups();
    long pixels = (long) shape.get(2) * shape.get(3);
    Range range = ranges.get(shuffle.x());
    if (range != null) {
      ranges.put(shuffle.y(), range);
    }
    String y = define(shuffle.y(), "shuffle");
    String apart = names.fresh(y + ".groups");
    String apartShape = names.fresh(y + ".groups.shape");
    target.constant(apartShape, new long[] {batch, groups, channels / groups, pixels});
    target.add(node(apart, "Reshape", List.of(computed(shuffle.x()), apartShape), apart));
    String swapped = names.fresh(y + ".swapped");
    target.add(
        node(swapped, "Transpose", List.of(moved(apart, range)), swapped)
            .with("perm", new long[] {0, 2, 1, 3}));
    String wholeShape = names.fresh(y + ".shape");
    target.constant(wholeShape, new long[] {batch, channels, shape.get(2), shape.get(3)});
    target.add(node(y, "Reshape", List.of(moved(swapped, range), wholeShape), y));
    round(shuffle.y(), y);
  }

  /** What was only moved, again said to be in eight bits, so that integers can be moved. */
  private String moved(String floats, Range range) {
    return range == null ? floats : qdq.round(floats, range);
  }

  private void globalPool(Op.GlobalPool pool) {
    if (pixels.contains(pool.y())) {
      String y = define(pool.y(), "pool");
      target.add(node(y, "GlobalAveragePool", List.of(computed(pool.x())), y));
      round(pool.y(), y);
      return;
    }
    String images = names.fresh("pool.images");
    target.add(node(images, "GlobalAveragePool", List.of(computed(pool.x())), images));
    String y = define(pool.y(), "pool");
    String pooled = moved(images, ranges.get(pool.y()));
    target.add(node(y, "Flatten", List.of(pooled), y).with("axis", 1));
    round(pool.y(), y);
  }

  private void linear(Op.Linear linear) {
    String layer = Names.layer(linear.w());
    boolean pixel = pixels.contains(linear.y());
    long[] shape = dimensions(linear.w().shape());
    long[] weights = pixel ? new long[] {shape[0], shape[1], 1, 1} : shape;
    List<String> inputs =
        ranges.containsKey(linear.x())
            ? rounded(linear.x(), layer, weights, read(linear.w()), read(linear.b()))
            : List.of(computed(linear.x()), parameter(linear.w(), weights), parameter(linear.b()));
    String y = define(linear.y(), layer);
    target.add(
        pixel
            ? node(layer, "Conv", inputs, y).with("kernel_shape", new long[] {1, 1})
            : node(layer, "Gemm", inputs, y).with("transB", 1));
    round(linear.y(), y);
  }

  /** A swish is written as its product: not every reader of opset 17 knows HardSwish. */
  private void pointwise(Op.Pointwise p) {
    String x = computed(p.x());
    String name = p.function().name().toLowerCase(Locale.ROOT);
    String y = define(p.y(), name);
    switch (p.function()) {
      case RELU -> target.add(node(y, "Relu", List.of(x), y));
      case SIGMOID -> target.add(node(y, "Sigmoid", List.of(x), y));
      case HARD_SIGMOID -> target.add(hardSigmoid(x, y));
      case SWISH, HARD_SWISH -> {
        String gate = names.fresh(y + ".gate");
        target.add(
            p.function() == Op.Function.SWISH
                ? node(gate, "Sigmoid", List.of(x), gate)
                : hardSigmoid(x, gate));
        target.add(node(y, "Mul", List.of(x, gate), y));
      }
      default ->
          throw UserException.data("the function %s has no translation to ONNX", p.function());
    }
    round(p.y(), y);
  }

  private GraphMessage.Node hardSigmoid(String x, String y) {
    return node(y, "HardSigmoid", List.of(x), y).with("alpha", 1 / 6f).with("beta", 0.5f);
  }

  private void scaleChannels(Op.ScaleChannels scale) {
    if (!pixels.contains(scale.s())) {
      throw UserException.data(
          "%s has no translation to ONNX: factors of channels are made of means over images by"
              + " linear layers and functions, and read by nothing else",
          scale.s());
    }
    String y = define(scale.y(), "scaled");
    target.add(node(y, "Mul", List.of(computed(scale.s()), computed(scale.x())), y));
    round(scale.y(), y);
  }

  /** The name of an input or of an operation's result. */
  private String computed(Value value) {
    Storage storage = graph.storage().get(value);
    if (storage != null && !(storage instanceof Storage.Input)) {
      throw UserException.data(
          "%s has no translation to ONNX here: only images that an input or an operation gives do",
          value);
    }
    return names.of(value);
  }

  /** The name of a parameter, whose numbers are added when it is first used. */
  private String parameter(Value value) {
    return parameter(value, dimensions(value.shape()));
  }

  private String parameter(Value value, long[] shape) {
    if (!names.has(value)) {
      float[] numbers = read(value);
      target.constant(names.define(value, value.name()), shape, numbers);
    }
    return names.of(value);
  }

  private float[] read(Value value) {
    if (!(graph.storage().get(value) instanceof Storage.Parameter parameter)) {
      throw UserException.data(
          "%s has no translation to ONNX: weights that are no parameters are computed while the"
              + " graph runs",
          value);
    }
    float[] numbers = values.of(parameter.set(), parameter.name());
    if (numbers.length != value.shape().elements()) {
      throw new IllegalArgumentException(
          value + " needs " + value.shape().elements() + " numbers, not " + numbers.length);
    }
    return numbers;
  }

  private static long[] dimensions(Shape shape) {
    long[] dimensions = new long[shape.rank()];
    for (int i = 0; i < dimensions.length; i++) {
      dimensions[i] = shape.get(i);
    }
    return dimensions;
  }

  private static float[] floats(List<Float> list) {
    float[] numbers = new float[list.size()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = list.get(i);
    }
    return numbers;
  }
}
