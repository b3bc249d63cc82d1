package io.fbnet.engine.program;

import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.plan.MemoryPlan;
import io.fbnet.engine.plan.Sections;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.ToLongFunction;

/**
 * The values that live within one step, with their places in the arena they share.
 *
 * @param values in the order in which they are written
 * @param lifetimes of each value
 * @param plan of the arena
 */
record Intermediates(List<Value> values, List<MemoryPlan.Lifetime> lifetimes, MemoryPlan plan) {
  /**
   * Plans the arena. Alternatives of a choice take the same time, so what they make for themselves
   * lies in the same place.
   *
   * @param steps of each section
   */
  static Intermediates of(
      Graph graph, Sections sections, List<List<Step>> steps, ToLongFunction<Value> bytes) {
    Map<Value, int[]> spans = new LinkedHashMap<>();
    int start = 0;
    int end = 0;
    int choice = Sections.ALWAYS;
    Set<Integer> beside = new HashSet<>();
    for (int s = 0; s < steps.size(); s++) {
      Sections.Section section = sections.sections().get(s);
      if (section.choice() == Sections.ALWAYS
          || section.choice() != choice
          || !beside.add(section.alternative())) {
        start = end;
        choice = section.choice();
        beside.clear();
        beside.add(section.alternative());
      }
      for (int i = 0; i < steps.get(s).size(); i++) {
        Step step = steps.get(s).get(i);
        int at = start + i;
        step.outputs().forEach(v -> extend(spans, sections.place(v), at));
        step.inputs().forEach(v -> lengthen(spans, sections.place(v), at));
      }
      end = Math.max(end, start + steps.get(s).size());
    }
    for (Value output : graph.outputs().values()) {
      lengthen(spans, sections.place(output), end);
    }
    spans.keySet().removeAll(graph.storage().keySet());
    List<Value> values = List.copyOf(spans.keySet());
    List<MemoryPlan.Lifetime> lifetimes = new ArrayList<>();
    for (Value v : values) {
      int[] span = spans.get(v);
      lifetimes.add(
          new MemoryPlan.Lifetime(
              span[0],
              span[1],
              bytes.applyAsLong(v),
              sections.choiceOf(v),
              sections.alternativeOf(v)));
    }
    return new Intermediates(values, lifetimes, MemoryPlan.of(lifetimes));
  }

  private static void extend(Map<Value, int[]> spans, Value v, int at) {
    int[] span = spans.computeIfAbsent(v, key -> new int[] {at, at});
    span[0] = Math.min(span[0], at);
    span[1] = Math.max(span[1], at);
  }

  private static void lengthen(Map<Value, int[]> spans, Value v, int at) {
    int[] span = spans.get(v);
    if (span != null) {
      span[1] = Math.max(span[1], at);
    }
  }

  /** Bytes of the arena; never none, so that it has an address. */
  long arenaBytes() {
    return Math.max(MemoryPlan.ALIGNMENT, plan.bytes());
  }
}
