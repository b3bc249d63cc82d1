package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Value;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Parts that run together.
 *
 * @param parts in order
 * @param byImage whether they all treat images one by one, so that a few images can pass through
 *     all of them before the next few begin
 * @param local values that no other stage reads: they need room for those few images only
 */
record Stage(List<Part> parts, boolean byImage, Set<Value> local) {
  List<Value> inputs() {
    Set<Value> inputs = new LinkedHashSet<>();
    Set<Value> written = new LinkedHashSet<>();
    for (Part part : parts) {
      part.reads().stream().filter(v -> !written.contains(v)).forEach(inputs::add);
      written.addAll(part.writes());
    }
    return List.copyOf(inputs);
  }

  List<Value> outputs() {
    Set<Value> outputs = new LinkedHashSet<>();
    parts.forEach(part -> outputs.addAll(part.writes()));
    outputs.removeAll(local);
    return List.copyOf(outputs);
  }
}
