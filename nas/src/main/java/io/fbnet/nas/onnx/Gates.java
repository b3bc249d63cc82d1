package io.fbnet.nas.onnx;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The vectors between an image's means and the factors of its channels. In a file they are images
 * of one pixel and their linear layers 1x1 convolutions, as others export squeeze-and-excitation:
 * not every reader can turn a vector into factors of channels.
 */
final class Gates {
  private final Map<Value, Op> producers = new HashMap<>();
  private final Map<Value, List<Op>> readers = new HashMap<>();
  private final Set<Value> outputs;
  private final Set<Value> found = new HashSet<>();

  private Gates(Graph graph) {
    outputs = Set.copyOf(graph.outputs().values());
    for (Op op : graph.ops()) {
      op.outputs().forEach(value -> producers.put(value, op));
      op.inputs().forEach(value -> readers.computeIfAbsent(value, v -> new ArrayList<>()).add(op));
    }
  }

  /** {@return the values [N,C] of a graph that stay images of one pixel} */
  static Set<Value> of(Graph graph) {
    Gates gates = new Gates(graph);
    for (Op op : graph.ops()) {
      if (op instanceof Op.ScaleChannels scale) {
        List<Value> chain = new ArrayList<>();
        if (gates.follow(scale.s(), chain)) {
          gates.found.addAll(chain);
        }
      }
    }
    return gates.found;
  }

  /** Whether a value comes of means over images alone, and nothing else reads it or any before. */
  private boolean follow(Value value, List<Value> chain) {
    if (outputs.contains(value) || readers.get(value).size() > 1) {
      return false;
    }
    chain.add(value);
    return switch (producers.get(value)) {
      case Op.GlobalPool pool -> true;
      case Op.Linear linear -> follow(linear.x(), chain);
      case Op.Pointwise p -> follow(p.x(), chain);
      case null, default -> false;
    };
  }
}
