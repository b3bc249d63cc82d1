package io.fbnet.nas.space;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * What an architecture is made of and what it costs, layer by layer.
 *
 * <p>Counting rule: one multiply-add is one MAC ("FLOPs" in the paper). Every convolution and the
 * classifier count; batch norm, ReLU, pooling, shuffle and additions do not. Parameters are
 * convolution weights (no bias), batch norm's weight and bias, and the classifier's weight and
 * bias; running statistics are none.
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

  /** Channels, rows and columns of one image's activation. */
  public record Shape(int channels, int height, int width) {
    @Override
    public String toString() {
      return channels + "x" + height + "x" + width;
    }

    long pixels() {
      return (long) height * width;
    }
  }

  /** Copies the list. */
  public Description {
    layers = List.copyOf(layers);
  }

  /** Counts an architecture; the latency is left empty. */
  public static Description of(Architecture architecture) {
    SearchSpace space = architecture.space();
    List<Layer> layers = new ArrayList<>();
    Shape image =
        new Shape(space.input().channels(), space.input().height(), space.input().width());
    Shape stem = new Shape(space.stem().width(), space.stemHeight(), space.stemWidth());
    Count count = new Count();
    count.convolution(image.channels(), stem.channels(), 3, 1, stem.pixels());
    layers.add(count.layer("stem", "conv3x3", image, stem));

    Shape last = stem;
    for (LayerSpec place : architecture.layers()) {
      BlockType block = architecture.blocks().get(place.index());
      Shape input = new Shape(place.inChannels(), place.inHeight(), place.inWidth());
      last = new Shape(place.outChannels(), place.outHeight(), place.outWidth());
      count = new Count();
      count.block(block, place, space.alwaysPw());
      layers.add(count.layer(place.name(), block.name(), input, last));
    }

    Shape head = new Shape(space.head(), last.height(), last.width());
    count = new Count();
    count.convolution(last.channels(), head.channels(), 1, 1, head.pixels());
    layers.add(count.layer("head", "conv1x1", last, head));

    count = new Count();
    count.macs = (long) space.head() * space.classes();
    count.parameters = count.macs + space.classes();
    layers.add(count.layer("classifier", "pool, linear", head, new Shape(space.classes(), 1, 1)));
    return new Description(architecture, layers, OptionalDouble.empty());
  }

  /** This description with a latency in milliseconds. */
  public Description withLatency(double ms) {
    return new Description(architecture, layers, OptionalDouble.of(ms));
  }

  /** Multiply-adds of the whole network for one image. */
  public long macs() {
    return layers.stream().mapToLong(Layer::macs).sum();
  }

  /** Trainable numbers of the whole network. */
  public long parameters() {
    return layers.stream().mapToLong(Layer::parameters).sum();
  }

  /** A table for people, with totals in millions at its end. */
  public String text() {
    StringBuilder out = new StringBuilder();
    SearchSpace space = architecture.space();
    out.append(
        "%s of the space %s: input %dx%dx%d, %d classes, head %d%n"
            .formatted(
                architecture.name().isEmpty() ? "An architecture" : architecture.name(),
                space.name(),
                space.input().channels(),
                space.input().height(),
                space.input().width(),
                space.classes(),
                space.head()));
    String row = "%-10s  %-12s  %13s  %13s  %13s  %11s%n";
    out.append(row.formatted("layer", "block", "input", "output", "MACs", "parameters"));
    for (Layer layer : layers) {
      out.append(
          row.formatted(
              layer.name(),
              layer.block(),
              layer.input(),
              layer.output(),
              grouped(layer.macs()),
              grouped(layer.parameters())));
    }
    out.append(row.formatted("total", "", "", "", grouped(macs()), grouped(parameters())));
    out.append(
        String.format(
            Locale.ROOT, "%.1fM MACs, %.3fM parameters", macs() / 1e6, parameters() / 1e6));
    latencyMs.ifPresent(ms -> out.append(String.format(Locale.ROOT, ", %.3f ms", ms)));
    return out.append(System.lineSeparator()).toString();
  }

  private static String grouped(long number) {
    return String.format(Locale.ROOT, "%,d", number);
  }

  /** The JSON with the keys macs, parameters, latency_ms (only with a table) and layers. */
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

  /** Adds up the convolutions of one layer. */
  private static final class Count {
    private long macs;
    private long parameters;

    /** One convolution without bias, and the batch norm that follows every one. */
    void convolution(int in, int out, int kernel, int groups, long outPixels) {
      long weights = (long) (in / groups) * out * kernel * kernel;
      macs += weights * outPixels;
      parameters += weights + 2L * out;
    }

    void block(BlockType block, LayerSpec place, boolean alwaysPw) {
      long inPixels = (long) place.inHeight() * place.inWidth();
      long outPixels = (long) place.outHeight() * place.outWidth();
      if (block.isSkip()) {
        if (!place.keepsShape()) {
          convolution(place.inChannels(), place.outChannels(), 1, 1, outPixels);
        }
        return;
      }
      int inner = place.inChannels() * block.expansion();
      if (alwaysPw || block.expansion() > 1) {
        convolution(place.inChannels(), inner, 1, block.groups(), inPixels);
      }
      convolution(inner, inner, block.kernel(), inner, outPixels);
      convolution(inner, place.outChannels(), 1, block.groups(), outPixels);
    }

    Layer layer(String name, String block, Shape input, Shape output) {
      return new Layer(name, block, input, output, macs, parameters);
    }
  }
}
