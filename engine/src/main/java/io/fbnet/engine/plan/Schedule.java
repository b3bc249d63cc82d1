package io.fbnet.engine.plan;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reorders operations, within what their inputs allow, so that fewer values live at once. */
public final class Schedule {
  private Schedule() {}

  /**
   * Moves each candidate's share of a weighted sum's gradient to just before its first use. In the
   * order in which differentiation writes them all candidates' gradients would live at once.
   */
  public static List<Op> sinkCandidateGradients(List<Op> ops) {
    Map<Value, Op> waiting = new LinkedHashMap<>();
    List<Op> result = new ArrayList<>(ops.size());
    for (Op op : ops) {
      if (op instanceof Op.WeightedSumBackwardInput w) {
        waiting.put(w.dx(), w);
      } else {
        append(op, waiting, result);
      }
    }
    while (!waiting.isEmpty()) {
      append(waiting.remove(waiting.keySet().iterator().next()), waiting, result);
    }
    return result;
  }

  /** Appends an operation after those it waits for: a sum of sums has a chain of them. */
  private static void append(Op op, Map<Value, Op> waiting, List<Op> result) {
    for (Value input : op.inputs()) {
      Op producer = waiting.remove(input);
      if (producer != null) {
        append(producer, waiting, result);
      }
    }
    result.add(op);
  }
}
