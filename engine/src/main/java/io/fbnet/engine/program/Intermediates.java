package io.fbnet.engine.program;

import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.MemoryPlan;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;

/**
 * The values that live within one step, with their places in the arena they share.
 *
 * @param values in the order in which they are written
 * @param lifetimes of each value
 * @param plan of the arena
 */
record Intermediates(List<Value> values, List<MemoryPlan.Lifetime> lifetimes, MemoryPlan plan) {
  static Intermediates of(Graph graph, List<Step> steps, ToLongFunction<Value> bytes) {
    Map<Value, int[]> spans = new LinkedHashMap<>();
    for (int i = 0; i < steps.size(); i++) {
      for (Value v : steps.get(i).outputs()) {
        int at = i;
        spans.computeIfAbsent(v, key -> new int[] {at, at})[1] = i;
      }
      for (Value v : steps.get(i).inputs()) {
        if (spans.containsKey(v)) {
          spans.get(v)[1] = i;
        }
      }
    }
    for (Value output : graph.outputs().values()) {
      if (spans.containsKey(output)) {
        spans.get(output)[1] = steps.size();
      }
    }
    spans.keySet().removeAll(graph.storage().keySet());
    List<Value> values = List.copyOf(spans.keySet());
    List<MemoryPlan.Lifetime> lifetimes = new ArrayList<>();
    for (Value v : values) {
      int[] span = spans.get(v);
      lifetimes.add(new MemoryPlan.Lifetime(span[0], span[1], bytes.applyAsLong(v)));
    }
    return new Intermediates(values, lifetimes, MemoryPlan.of(lifetimes));
  }

  /** Bytes of the arena; never none, so that it has an address. */
  long arenaBytes() {
    return Math.max(MemoryPlan.ALIGNMENT, plan.bytes());
  }
}
