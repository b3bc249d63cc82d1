package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Exchanges parts of the gradients as soon as they are whole, beside the rest of the backward pass:
 * the last layers' are there first. What is not whole before the last of them follows where all
 * were exchanged before, and there the parts are waited for.
 */
final class EarlyExchanges {
  /** How many parts a set's gradients have at most, and how many bytes each at least. */
  private static final int MOST_PARTS = 4;

  private static final int LEAST_BYTES = 16 << 10;

  /** Parts begin at whole lines of a cache. */
  private static final int ALIGNMENT = 32;

  private final Graph graph;
  private final CudaContext context;

  EarlyExchanges(Graph graph, CudaContext context) {
    this.graph = graph;
    this.context = context;
  }

  /**
   * Divides the exchanges of gradients of a section.
   *
   * @param steps in the order in which they run
   * @return these steps, with early exchanges among them
   */
  List<Step> among(List<Step> steps) {
    Set<Value> exchanged = new LinkedHashSet<>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.MeanOverRanks means && means.xs().size() == 1) {
        exchanged.add(means.xs().getFirst());
      }
    }
    List<Step> result = steps;
    for (Value buffer : exchanged) {
      if (graph.storage().get(buffer) instanceof Storage.Flat flat
          && flat.buffer().equals(Storage.Flat.GRADIENTS)) {
        result = divided(result, buffer, flat.set());
      }
    }
    return result;
  }

  /** A part of a flat buffer, in elements, and the step behind which it is whole. */
  private record Part(long from, long to, int whole) {}

  private List<Step> divided(List<Step> steps, Value buffer, String set) {
    int last = exchange(steps, buffer);
    if (last < 0) {
      return steps;
    }
    List<Part> parts = parts(steps.subList(0, last), set);
    int end = parts.stream().mapToInt(Part::whole).max().orElse(-1);
    List<Part> rest = new ArrayList<>();
    Map<Integer, List<Part>> early = new HashMap<>();
    for (Part part : parts) {
      boolean before = part.whole() >= 0 && part.whole() < end;
      (before ? early.computeIfAbsent(part.whole(), i -> new ArrayList<>()) : rest).add(part);
    }
    List<Step> result = new ArrayList<>();
    for (int i = 0; i < steps.size(); i++) {
      result.add(i == last ? exchange(buffer, rest, false) : steps.get(i));
      for (Part part : early.getOrDefault(i, List.of())) {
        result.add(exchange(buffer, List.of(part), true));
      }
    }
    return result;
  }

  /** Where all of a buffer is exchanged in place; -1 where it is not. */
  private static int exchange(List<Step> steps, Value buffer) {
    for (int i = 0; i < steps.size(); i++) {
      if (steps.get(i).inputs().equals(List.of(buffer))
          && steps.get(i).outputs().equals(List.of(buffer))) {
        return i;
      }
    }
    return -1;
  }

  private List<Part> parts(List<Step> steps, String set) {
    ParameterLayout layout = ParameterLayout.of(set, graph.parameters());
    int early = Math.clamp(layout.decayed() * Float.BYTES / LEAST_BYTES, 1, MOST_PARTS);
    // What lies behind the decayed weights are norms and biases of all layers: few, and late.
    int count = layout.size() > layout.decayed() ? early + 1 : early;
    long[] starts = new long[count + 1];
    int[] whole = new int[count];
    Arrays.fill(whole, -1);
    for (int p = 0; p < early; p++) {
      starts[p] = layout.decayed() * p / early / ALIGNMENT * ALIGNMENT;
    }
    starts[early] = layout.decayed();
    starts[count] = layout.size();
    for (int i = 0; i < steps.size(); i++) {
      Step step = steps.get(i);
      // Whoever reads a gradient wants this rank's own.
      for (Value value :
          Stream.concat(step.inputs().stream(), step.outputs().stream()).distinct().toList()) {
        if (graph.storage().get(value) instanceof Storage.Gradient gradient
            && gradient.set().equals(set)) {
          long from = layout.find(gradient.name(), value.shape()).offset();
          for (int p = 0; p < count; p++) {
            if (from < starts[p + 1] && from + value.shape().elements() > starts[p]) {
              whole[p] = i;
            }
          }
        }
      }
    }
    List<Part> parts = new ArrayList<>();
    for (int p = 0; p < count; p++) {
      if (starts[p] < starts[p + 1]) {
        parts.add(new Part(starts[p], starts[p + 1], whole[p]));
      }
    }
    return parts;
  }

  private Step exchange(Value buffer, List<Part> parts, boolean early) {
    return new Step(
        List.of(buffer),
        List.of(buffer),
        memory ->
            CudaRankMeans.parts(
                context,
                parts.stream()
                    .map(
                        part ->
                            memory
                                .apply(buffer)
                                .asSlice(
                                    part.from() * Float.BYTES,
                                    (part.to() - part.from()) * Float.BYTES))
                    .toList(),
                early));
  }
}
