package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Step;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntSupplier;
import java.util.stream.Stream;

/**
 * The banks of a step, in the places of the operations that they replace: a bank's forward pass
 * where its weighted sum was, its gradients where the first of them was.
 */
final class CudaBanks {
  private final Set<Op> replaced = new HashSet<>();
  private final Map<Op, List<Step>> instead = new HashMap<>();
  private final Map<Op, Op.Sum> rewritten = new HashMap<>();

  CudaBanks(CudaCompiler compiler, Graph graph, List<Op> ops) {
    int[] next = {firstFree(ops)};
    IntSupplier ids = () -> next[0]++;
    List<BankFinder.Found> all = new BankFinder(graph, ops).find();
    if (!all.isEmpty() && compiler.normsOverRanks()) {
      compiler.context().backend.ranks().sayApart();
      return;
    }
    for (BankFinder.Found found : all) {
      LayerBank layer = found.layer();
      BankSteps steps = new BankSteps(compiler, layer, ids);
      replaced.addAll(found.replaced());
      instead.put(layer.mix(), steps.forward());
      if (layer.dy() != null) {
        Value total = total(layer, ids);
        instead.put(firstOfGradients(ops, found), steps.backward(total));
      }
    }
  }

  private static int firstFree(List<Op> ops) {
    return 1
        + ops.stream()
            .flatMap(op -> Stream.concat(op.inputs().stream(), op.outputs().stream()))
            .mapToInt(Value::id)
            .max()
            .orElse(0);
  }

  /**
   * Where the bank's part of the gradient of the layer's input goes: into what adds the rest, or it
   * is all.
   */
  private Value total(LayerBank layer, IntSupplier ids) {
    Op.Sum sum = layer.total();
    if (sum == null || layer.rest().isEmpty()) {
      return sum == null ? null : sum.y();
    }
    Shape shape = sum.y().shape();
    Value part = new Value(ids.getAsInt(), "bank d x", shape, sum.y().type());
    List<Value> all = new ArrayList<>(layer.rest());
    all.addFirst(part);
    rewritten.put(sum, new Op.Sum(all, sum.y()));
    return part;
  }

  /**
   * All of a bank's gradients need the mixture's; the first that was to read it says where it is
   * there.
   */
  private static Op firstOfGradients(List<Op> ops, BankFinder.Found found) {
    return ops.stream()
        .filter(found.replaced()::contains)
        .filter(op -> op.inputs().contains(found.layer().dy()))
        .findFirst()
        .orElseThrow();
  }

  /** Whether an operation does not run by itself. */
  boolean replaces(Op op) {
    return replaced.contains(op);
  }

  /** {@return the steps that stand where the operation stood} */
  List<Step> instead(Op op) {
    return instead.getOrDefault(op, List.of());
  }

  /** {@return what is left of a replaced sum, or null} */
  Op.Sum rest(Op op) {
    return rewritten.get(op);
  }
}
