package io.fbnet.nas.onnx;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.nas.network.BatchInputs;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * How the values of one graph for inference are kept in eight bits.
 *
 * @param ranges of the values that are rounded, by value of that graph
 * @param integers those of its inputs and outputs that a file takes and gives as unsigned bytes;
 *     each has a range
 */
public record Quantisation(Map<Value, Range> ranges, Set<Value> integers) {
  /** A range for networks that are only timed: it makes no difference to how long they take. */
  private static final float ASSUMED = 4;

  /** Copies map and set. */
  public Quantisation {
    ranges = Collections.unmodifiableMap(new LinkedHashMap<>(ranges));
    integers = Collections.unmodifiableSet(new LinkedHashSet<>(integers));
    if (!ranges.keySet().containsAll(integers)) {
      throw new IllegalArgumentException("an integer input or output has no range");
    }
  }

  /**
   * {@return the values of a graph that are rounded} These are its images and all that its
   * operations compute of them, but for logits; for what a channel shuffle only moves; and for sums
   * of a convolution or linear layer where a batch norm or a ReLU alone reads them, which is merged
   * into it.
   *
   * @param graph of operations that {@link OnnxExport} knows
   */
  static List<Value> rounded(Graph graph) {
    Map<Value, Integer> readers = new HashMap<>();
    Set<Value> merged = new HashSet<>(graph.outputs().values());
    for (Op op : graph.ops()) {
      op.inputs().forEach(value -> readers.merge(value, 1, Integer::sum));
      if (op instanceof Op.BatchNormInference norm) {
        merged.add(norm.x());
      }
      if (op instanceof Op.Pointwise p && p.function() == Op.Function.RELU) {
        merged.add(p.x());
      }
    }
    graph.outputs().values().forEach(value -> readers.merge(value, 1, Integer::sum));
    Set<Value> rounded = new LinkedHashSet<>();
    graph
        .storage()
        .forEach(
            (value, storage) -> {
              if (storage instanceof Storage.Input && value.type() == Type.F32) {
                rounded.add(value);
              }
            });
    for (Op op : graph.ops()) {
      switch (op) {
        case Op.Convolution c when merged.contains(c.y()) && readers.get(c.y()) == 1 -> {}
        case Op.Linear l when merged.contains(l.y()) && readers.get(l.y()) == 1 -> {}
        case Op.ChannelShuffle shuffle -> {}
        default -> rounded.addAll(op.outputs());
      }
    }
    return List.copyOf(rounded);
  }

  /**
   * Ranges taken out of the air, for a part of a network that is only timed. Its neighbours' values
   * come and go as bytes, as they would within the network; images come as floats, logits go so.
   *
   * @param graph a part of a network
   * @return its quantisation
   */
  public static Quantisation assumed(Graph graph) {
    Map<Value, Range> ranges = new LinkedHashMap<>();
    rounded(graph).forEach(value -> ranges.put(value, new Range(-ASSUMED, ASSUMED)));
    for (Op op : graph.ops()) {
      if (op instanceof Op.BatchNormInference norm && norm.relu()) {
        ranges.put(norm.y(), new Range(0, ASSUMED));
      }
      if (op instanceof Op.Pointwise p && p.function() == Op.Function.RELU) {
        ranges.put(p.y(), new Range(0, ASSUMED));
      }
    }
    Set<Value> integers = new LinkedHashSet<>(graph.outputs().values());
    graph
        .storage()
        .forEach(
            (value, storage) -> {
              if (storage instanceof Storage.Input input
                  && !input.name().equals(BatchInputs.IMAGES)) {
                integers.add(value);
              }
            });
    integers.retainAll(ranges.keySet());
    return new Quantisation(ranges, integers);
  }
}
