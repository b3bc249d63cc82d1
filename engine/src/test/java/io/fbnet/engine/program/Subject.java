package io.fbnet.engine.program;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A graph with its gradients, and the names under which the results can be read. */
record Subject(Graph graph, List<Value> wanted, Map<Value, Value> gradients) {
  static Subject of(OperationCases.Case c) {
    GraphBuilder b = new GraphBuilder();
    Value y = c.build().apply(b);
    b.output("y", y);
    List<Value> wanted = new ArrayList<>();
    Graph forward = b.build();
    for (Op op : forward.ops()) {
      for (Value v : op.inputs()) {
        if (!wanted.contains(v) && differentiable(forward.storage().get(v), v)) {
          wanted.add(v);
        }
      }
    }
    Map<Value, Value> gradients = new LinkedHashMap<>();
    if (hasGradient(forward.ops().getLast())) {
      int[] shape = new int[y.shape().rank()];
      for (int i = 0; i < shape.length; i++) {
        shape[i] = y.shape().get(i);
      }
      Value dy = b.input("dy", Type.F32, shape);
      gradients = Autodiff.pullback(b, y, dy, wanted);
      int i = 0;
      for (Value gradient : gradients.values()) {
        b.output("gradient" + i++, gradient);
      }
    }
    for (Op op : forward.ops()) {
      if (op instanceof Op.BatchNorm bn) {
        b.output("of " + bn.runningMean().name(), bn.runningMean());
        b.output("of " + bn.runningVariance().name(), bn.runningVariance());
      }
    }
    return new Subject(b.build(), wanted, gradients);
  }

  /** Whether there is one that finite differences can confirm: hard max's is not its derivative. */
  static boolean hasGradient(Op op) {
    return !(op instanceof Op.LabelRank
        || op instanceof Op.NormaliseImages
        || op instanceof Op.BatchNormApply
        || op instanceof Op.BatchNormInference
        || op instanceof Op.HardMax);
  }

  private static boolean differentiable(Storage storage, Value v) {
    return v.type() == Type.F32
        && (storage instanceof Storage.Input
            || storage instanceof Storage.Parameter p && p.set().equals("weights"));
  }
}
