package io.fbnet.bench;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.SupernetGraphs;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * A supernet and what its steps minimise, as both we and the peers take it: the defaults of {@code
 * fbnet search} on a made-up latency table.
 *
 * @param space searched
 * @param batch images a step
 */
public record StepSetting(SearchSpace space, int batch) {
  public static final SupernetGraphs.LossSettings LOSS = SupernetGraphs.LossSettings.PAPER;
  public static final double RATE = 0.01;
  public static final double THETA_RATE = 0.01;
  public static final double TAU = 5;
  public static final double FIXED_MS = 0.1;

  /** Spaces and batches of a list such as {@code cifar:32,imagenet:64}. */
  public static List<StepSetting> parse(String list) {
    List<StepSetting> settings = new ArrayList<>();
    for (String item : list.split(",", -1)) {
      int colon = item.lastIndexOf(':');
      if (colon < 1) {
        throw new IllegalArgumentException(
            "a case is written as SPACE:BATCH, such as cifar:32, not " + item);
      }
      settings.add(
          new StepSetting(
              SearchSpace.load(item.substring(0, colon)),
              Integer.parseInt(item.substring(colon + 1))));
    }
    return settings;
  }

  /** The made-up latency table, ms [layer][candidate]. */
  public double[][] table() {
    double[][] table = new double[space.layerCount()][space.blocks().size()];
    for (double[] row : table) {
      Arrays.setAll(row, i -> 0.01 * (1 + i));
    }
    return table;
  }

  /** Of bytes to what a data set's images come to: mean 0 and deviation about 1. */
  public Normalisation normalisation() {
    int channels = space.input().channels();
    return new Normalisation(
        Collections.nCopies(channels, 0.5f), Collections.nCopies(channels, 0.25f));
  }

  public SupernetGraphs graphs() {
    return graphs(false);
  }

  /** The steps, with candidates computed twice instead of kept where {@code lean}. */
  public SupernetGraphs graphs(boolean lean) {
    return new SupernetGraphs(space, normalisation(), LOSS, FIXED_MS, table(), List.of(), lean);
  }

  /** Everything a peer needs to build the same steps, and the counts it must come to. */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    ObjectNode outline = tree.putObject("space");
    SearchSpace.Input in = space.input();
    outline.put("name", space.name());
    outline
        .putObject("input")
        .put("channels", in.channels())
        .put("height", in.height())
        .put("width", in.width());
    outline.put("classes", space.classes());
    outline
        .putObject("stem")
        .put("width", space.stem().width())
        .put("stride", space.stem().stride());
    ArrayNode stages = outline.putArray("stages");
    for (SearchSpace.Stage stage : space.stages()) {
      stages
          .addObject()
          .put("width", stage.width())
          .put("layers", stage.layers())
          .put("stride", stage.stride());
    }
    outline.put("head", space.head());
    space.blockNames().forEach(outline.putArray("blocks")::add);
    outline.put("always_pw", space.alwaysPw());
    tree.putObject("loss")
        .put("alpha", LOSS.alpha())
        .put("beta", LOSS.beta())
        .put("noise_per_image", LOSS.noisePerImage())
        .put("momentum", LOSS.momentum())
        .put("weight_decay", LOSS.weightDecay())
        .put("theta_weight_decay", LOSS.thetaWeightDecay())
        .put("rate", RATE)
        .put("theta_rate", THETA_RATE)
        .put("tau", TAU)
        .put("fixed_ms", FIXED_MS);
    ArrayNode latencies = tree.putArray("layers_ms");
    for (double[] row : table()) {
      ArrayNode list = latencies.addArray();
      Arrays.stream(row).forEach(list::add);
    }
    Graph graph = graphs().weightStep(2);
    tree.put("parameters", parameters(graph));
    tree.put("tensors", tensors(graph).size());
    tree.put("macs", macs(graph));
    return tree;
  }

  /** Trainable numbers of the whole supernet, theta apart. */
  public long parameters() {
    return parameters(graphs().weightStep(2));
  }

  /** Multiply-adds of one image's forward pass through all candidates. */
  public long macs() {
    return macs(graphs().weightStep(2));
  }

  private static List<ParameterSpec> tensors(Graph graph) {
    return graph.parameters().stream().filter(p -> p.set().equals(NetworkBuilder.WEIGHTS)).toList();
  }

  /** Trainable numbers of the whole supernet, theta apart. */
  private static long parameters(Graph graph) {
    return tensors(graph).stream().mapToLong(p -> p.shape().elements()).sum();
  }

  /** Multiply-adds of one image's forward pass, counted from the graph that runs. */
  private static long macs(Graph graph) {
    long macs = 0;
    for (Op op : graph.ops()) {
      macs +=
          switch (op) {
            case Op.Convolution c ->
                c.w().shape().elements() * c.y().shape().get(2) * c.y().shape().get(3);
            case Op.Linear l -> l.w().shape().elements();
            default -> 0;
          };
    }
    return macs;
  }
}
