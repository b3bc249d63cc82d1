package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Step;
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
 * Lets operations that are bound by memory run as part of those that read their results, which then
 * are never written:
 *
 * <ul>
 *   <li>normalised images that only depthwise convolutions and the gradients of their weights read
 *       are made while these load them;
 *   <li>candidates of a search layer that are built alike run side by side ({@link CudaBanks});
 *   <li>a candidate's share of a weighted sum's gradient is made while the gradient of its last
 *       norm loads it.
 * </ul>
 */
final class CudaFusion {
  private final CudaCompiler compiler;
  private final CudaContext context;
  private final List<List<Op>> sections;
  private final List<Op> ops;
  private final CudaBanks banks;
  private final Map<Value, List<Op>> readers = new HashMap<>();
  private final Map<Value, Op.BatchNormApply> norms = new HashMap<>();
  private final Map<Value, Op.WeightedSumBackwardInput> shares = new HashMap<>();

  CudaFusion(CudaCompiler compiler, Graph graph, List<List<Op>> sections, Set<Value> inMemory) {
    this.compiler = compiler;
    this.sections = sections;
    ops = sections.stream().flatMap(List::stream).toList();
    context = compiler.context();
    banks = new CudaBanks(compiler, graph, ops);
    for (Op op : ops) {
      Set.copyOf(op.inputs())
          .forEach(v -> readers.computeIfAbsent(v, none -> new ArrayList<>()).add(op));
    }
    Set<Value> kept = new HashSet<>(graph.storage().keySet());
    kept.addAll(graph.outputs().values());
    kept.addAll(inMemory);
    Set<Op> early = beforeUpdates();
    for (Op op : ops) {
      switch (op) {
        case Op.BatchNorm bn -> offer(bn.application(), kept, early);
        case Op.BatchNormApply bn -> offer(bn, kept, early);
        case Op.WeightedSumBackwardInput w -> offer(w, kept);
        default -> {}
      }
    }
  }

  /** After an update parameters are no longer those that the operations were given. */
  private Set<Op> beforeUpdates() {
    Set<Op> early = new HashSet<>();
    for (Op op : ops) {
      if (op.updatesParameters()) {
        break;
      }
      early.add(op);
    }
    return early;
  }

  private void offer(Op.BatchNormApply bn, Set<Value> kept, Set<Op> early) {
    List<Op> by = readers.getOrDefault(bn.y(), List.of());
    if (!kept.contains(bn.y())
        && !by.isEmpty()
        && early.containsAll(by)
        && by.stream().allMatch(op -> normalises(op, bn.y()))) {
      norms.put(bn.y(), bn);
    }
  }

  private static boolean normalises(Op op, Value images) {
    return switch (op) {
      case Op.Convolution c -> c.x().equals(images) && CudaConvolution.depthwise(c);
      case Op.ConvolutionBackwardWeights c ->
          c.x().equals(images) && !c.dy().equals(images) && CudaConvolution.depthwise(c);
      default -> false;
    };
  }

  private void offer(Op.WeightedSumBackwardInput w, Set<Value> kept) {
    List<Op> by = readers.getOrDefault(w.dx(), List.of());
    if (!kept.contains(w.dx())
        && by.size() == 1
        && by.getFirst() instanceof Op.BatchNormBackward bn
        && bn.dy().equals(w.dx())
        && !bn.x().equals(w.dx())) {
      shares.put(w.dx(), w);
    }
  }

  /** The steps of each section. */
  List<List<Step>> steps() {
    return sections.stream().map(this::steps).toList();
  }

  private List<Step> steps(List<Op> section) {
    List<Step> steps = new ArrayList<>();
    for (Op op : section) {
      steps.addAll(banks.instead(op));
      Op.Sum rest = banks.rest(op);
      if (rest != null) {
        steps.add(alone(rest));
      }
      if (banks.replaces(op)) {
        continue;
      }
      switch (op) {
        case Op.BatchNorm bn when norms.containsKey(bn.y()) ->
            steps.add(
                compiler.step(
                    op.inputs(),
                    without(op.outputs(), bn.y()),
                    memory -> CudaNorm.statistics(context, bn, memory)));
        case Op.BatchNormApply bn when norms.containsKey(bn.y()) -> {}
        case Op.WeightedSumBackwardInput w when shares.containsKey(w.dx()) -> {}
        case Op.Convolution c when norms.containsKey(c.x()) ->
            steps.add(
                compiler.step(
                    with(op.inputs(), c.x(), norms.get(c.x())),
                    op.outputs(),
                    memory -> CudaConvolution.forward(context, c, norms.get(c.x()), memory)));
        case Op.ConvolutionBackwardWeights c when norms.containsKey(c.x()) ->
            steps.add(
                compiler.step(
                    with(op.inputs(), c.x(), norms.get(c.x())),
                    op.outputs(),
                    memory ->
                        CudaConvolution.backwardWeights(context, c, norms.get(c.x()), memory)));
        case Op.BatchNormBackward bn when shares.containsKey(bn.dy()) ->
            steps.add(
                compiler.step(
                    with(op.inputs(), bn.dy(), shares.get(bn.dy())),
                    op.outputs(),
                    memory -> CudaNorm.backward(context, bn, shares.get(bn.dy()), memory)));
        default -> steps.add(alone(op));
      }
    }
    return steps;
  }

  private Step alone(Op op) {
    return new Step(op.inputs(), op.outputs(), memory -> compiler.prepare(op, memory));
  }

  private static List<Value> without(List<Value> values, Value value) {
    return values.stream().filter(v -> !v.equals(value)).toList();
  }

  /** The inputs with what makes one of them in its place. */
  private static List<Value> with(List<Value> inputs, Value made, Op maker) {
    List<Value> all = new ArrayList<>(without(inputs, made));
    all.addAll(maker.inputs());
    return all;
  }
}
