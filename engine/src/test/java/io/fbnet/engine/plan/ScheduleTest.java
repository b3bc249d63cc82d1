package io.fbnet.engine.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ScheduleTest {
  private static Value weights(GraphBuilder b, String name, int... shape) {
    return b.parameter("weights", name, true, new Initial.Normal(1), shape);
  }

  /** Mixes of mixes: the second layer's only input is the first layer's sum, unchanged. */
  private static Graph chainOfMixes(int layers) {
    GraphBuilder b = new GraphBuilder();
    Value x =
        b.convolution(b.input("x", Type.F32, 2, 16, 4, 4), weights(b, "w", 16, 16, 1, 1), 1, 1);
    Value x2 =
        b.convolution(b.input("x", Type.F32, 2, 16, 4, 4), weights(b, "v", 16, 16, 3, 3), 1, 1);
    Value y = b.weightedSum(List.of(x, x2), b.input("m0", Type.F32, 1, 2));
    for (int i = 1; i < layers; i++) {
      y = b.weightedSum(List.of(y), b.input("m" + i, Type.F32, 1, 1));
    }
    Value dy = b.input("dy", Type.F32, 2, 16, 4, 4);
    Autodiff.pullback(
        b, y, dy, List.of(weights(b, "w", 16, 16, 1, 1), weights(b, "v", 16, 16, 3, 3)));
    return b.build();
  }

  private static void requireInOrder(Graph graph, List<Op> ops) {
    Set<Value> known = new HashSet<>(graph.storage().keySet());
    // A gradient is stored, yet an operation of this step writes it first.
    graph.ops().forEach(op -> op.outputs().forEach(known::remove));
    for (Op op : ops) {
      for (Value input : op.inputs()) {
        assertTrue(known.contains(input), op.name() + " reads " + input + " too early");
      }
      known.addAll(op.outputs());
    }
  }

  private static void requireSameOps(List<Op> expected, List<Op> actual) {
    assertEquals(expected.size(), actual.size());
    assertEquals(new HashSet<>(expected), new HashSet<>(actual));
  }

  @Test
  void aChainOfMixesKeepsItsOrder() {
    Graph graph = chainOfMixes(4);
    List<Op> ops = Schedule.sinkCandidateGradients(graph.ops());
    requireSameOps(graph.ops(), ops);
    requireInOrder(graph, ops);
  }

  @Test
  void eachCandidateGradientComesJustBeforeItsFirstUse() {
    GraphBuilder b = new GraphBuilder();
    List<Value> candidates = new ArrayList<>();
    List<Value> wanted = new ArrayList<>();
    for (int k = 0; k < 5; k++) {
      Value w = weights(b, "w" + k, 16, 16, 1, 1);
      wanted.add(w);
      candidates.add(b.convolution(b.input("x", Type.F32, 2, 16, 4, 4), w, 1, 1));
    }
    Value y = b.weightedSum(candidates, b.input("m", Type.F32, 1, 5));
    Autodiff.pullback(b, y, b.input("dy", Type.F32, 2, 16, 4, 4), wanted);
    Graph graph = b.build();
    List<Op> ops = Schedule.sinkCandidateGradients(graph.ops());
    requireSameOps(graph.ops(), ops);
    requireInOrder(graph, ops);
    for (int i = 0; i < ops.size(); i++) {
      if (ops.get(i) instanceof Op.WeightedSumBackwardInput share) {
        assertTrue(ops.get(i + 1).inputs().contains(share.dx()), "position " + i);
      }
    }
  }

  @Test
  void aGradientThatNothingReadsStays() {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, 2, 16, 4, 4);
    Value y = b.weightedSum(List.of(x, x), b.input("m", Type.F32, 1, 2));
    Value w = b.weightedSum(List.of(y), b.input("n", Type.F32, 1, 1));
    Value dx = Autodiff.pullback(b, w, b.input("dy", Type.F32, 2, 16, 4, 4), List.of(y)).get(y);
    b.output("dx", dx);
    Graph graph = b.build();
    requireSameOps(graph.ops(), Schedule.sinkCandidateGradients(graph.ops()));
  }
}
