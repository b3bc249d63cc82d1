package io.fbnet.nas.network;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.graph.Graph;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * What an architecture is made of and what it costs, layer by layer.
 *
 * <p>Counting rule: one multiply-add is one MAC ("FLOPs" in the paper). Every convolution and every
 * linear layer count (the classifier, and two in squeeze-and-excitation); batch norm, activations,
 * pooling, scaling, shuffle and additions do not. Parameters are convolution weights (no bias),
 * batch norm's weight and bias, and weights and biases of linear layers; running statistics are
 * none.
 *
 * @param architecture what is described
 * @param layers from the stem to the classifier
 * @param latencyMs by a latency table, if there is one
 */
public record Description(Architecture architecture, List<Layer> layers, OptionalDouble latencyMs) {

  /**
   * One layer's share.
   *
   * @param name stem, L1 ... , head or classifier
   * @param block the chosen block, or what a fixed layer does
   * @param input shape of one image's input
   * @param output shape of one image's output
   * @param macs multiply-adds for one image
   * @param parameters trainable numbers
   */
  public record Layer(
      String name, String block, Shape input, Shape output, long macs, long parameters) {}

  /**
   * Shape of one image's activation, written {@code 16x28x28}.
   *
   * @param channels how many channels
   * @param height rows
   * @param width columns
   */
  public record Shape(int channels, int height, int width) {
    @Override
    public String toString() {
      return channels + "x" + height + "x" + width;
    }
  }

  /** Copies the list. */
  public Description {
    layers = List.copyOf(layers);
  }

  /**
   * Counts an architecture.
   *
   * @param architecture the network
   * @return its description, without a latency
   */
  public static Description of(Architecture architecture) {
    SearchSpace space = architecture.space();
    List<Layer> layers = new ArrayList<>();
    Shape image =
        new Shape(space.input().channels(), space.input().height(), space.input().width());
    Shape stem = new Shape(space.stem().width(), space.stemHeight(), space.stemWidth());
    layers.add(Count.of(ArchitectureGraphs.stem(space, 1)).layer("stem", "conv3x3", image, stem));
    for (LayerSpec place : space.layers()) {
      layers.add(layer(space, place, architecture.blocks().get(place.index())));
    }
    Shape last = layers.getLast().output();
    Shape head = new Shape(space.head(), last.height(), last.width());
    Count all = Count.of(ArchitectureGraphs.head(space, 1));
    long weights = (long) space.head() * space.classes();
    Count classifier = new Count(weights, weights + space.classes());
    layers.add(all.minus(classifier).layer("head", "conv1x1", last, head));
    layers.add(
        classifier.layer("classifier", "pool, linear", head, new Shape(space.classes(), 1, 1)));
    return new Description(architecture, layers, OptionalDouble.empty());
  }

  /**
   * {@return what one block costs in its place}
   *
   * @param space the space of the layer
   * @param place the layer
   * @param block the block
   */
  public static Layer layer(SearchSpace space, LayerSpec place, Block block) {
    Shape input = new Shape(place.inChannels(), place.inHeight(), place.inWidth());
    Shape output = new Shape(place.outChannels(), place.outHeight(), place.outWidth());
    return Count.of(ArchitectureGraphs.block(space, place, block, 1))
        .layer(place.name(), block.name(), input, output);
  }

  /**
   * {@return this description with a latency}
   *
   * @param ms milliseconds
   */
  public Description withLatency(double ms) {
    return new Description(architecture, layers, OptionalDouble.of(ms));
  }

  /** {@return multiply-adds of the whole network for one image} */
  public long macs() {
    return layers.stream().mapToLong(Layer::macs).sum();
  }

  /** {@return trainable numbers of the whole network} */
  public long parameters() {
    return layers.stream().mapToLong(Layer::parameters).sum();
  }

  /** {@return a table for people, with totals in millions at its end} */
  public String text() {
    StringBuilder out = new StringBuilder();
    SearchSpace space = architecture.space();
    out.append(
        String.format(
            Locale.ROOT,
            "%s of the space %s: input %dx%dx%d, %d classes, head %d%n",
            architecture.name().isEmpty() ? "An architecture" : architecture.name(),
            space.name(),
            space.input().channels(),
            space.input().height(),
            space.input().width(),
            space.classes(),
            space.head()));
    int widest = layers.stream().mapToInt(layer -> layer.block().length()).max().orElse(0);
    String row = "%-10s  %-" + Math.max(12, widest) + "s  %13s  %13s  %13s  %11s%n";
    out.append(
        String.format(Locale.ROOT, row, "layer", "block", "input", "output", "MACs", "parameters"));
    for (Layer layer : layers) {
      out.append(
          String.format(
              Locale.ROOT,
              row,
              layer.name(),
              layer.block(),
              layer.input(),
              layer.output(),
              grouped(layer.macs()),
              grouped(layer.parameters())));
    }
    out.append(
        String.format(
            Locale.ROOT, row, "total", "", "", "", grouped(macs()), grouped(parameters())));
    out.append(
        String.format(
            Locale.ROOT, "%.1fM MACs, %.3fM parameters", macs() / 1e6, parameters() / 1e6));
    latencyMs.ifPresent(ms -> out.append(String.format(Locale.ROOT, ", %.3f ms", ms)));
    return out.append(System.lineSeparator()).toString();
  }

  private static String grouped(long number) {
    return String.format(Locale.ROOT, "%,d", number);
  }

  /**
   * {@return the JSON with the keys macs, parameters, latency_ms (only with a table) and layers}
   */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("name", architecture.name());
    tree.put("space", architecture.space().name());
    tree.put("macs", macs());
    tree.put("parameters", parameters());
    latencyMs.ifPresent(ms -> tree.put("latency_ms", ms));
    ArrayNode list = tree.putArray("layers");
    for (Layer layer : layers) {
      ObjectNode item = list.addObject();
      item.put("name", layer.name()).put("block", layer.block());
      put(item.putArray("input"), layer.input());
      put(item.putArray("output"), layer.output());
      item.put("macs", layer.macs()).put("parameters", layer.parameters());
    }
    return tree;
  }

  private static void put(ArrayNode list, Shape shape) {
    list.add(shape.channels()).add(shape.height()).add(shape.width());
  }

  /** Multiply-adds for one image, and trainable numbers. */
  private record Count(long macs, long parameters) {
    /** What a graph for one image holds, whatever its blocks are. */
    static Count of(Graph graph) {
      long macs = graph.ops().stream().mapToLong(MultiplyAdds::of).sum();
      long parameters =
          graph.parameters().stream()
              .filter(p -> p.set().equals(NetworkBuilder.WEIGHTS))
              .mapToLong(p -> p.shape().elements())
              .sum();
      return new Count(macs, parameters);
    }

    Count minus(Count part) {
      return new Count(macs - part.macs, parameters - part.parameters);
    }

    Layer layer(String name, String block, Shape input, Shape output) {
      return new Layer(name, block, input, output, macs, parameters);
    }
  }
}
