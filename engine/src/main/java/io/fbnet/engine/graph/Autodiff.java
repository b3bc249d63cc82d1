package io.fbnet.engine.graph;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Reverse-mode differentiation by rewriting: appends the backward operations to the builder, and
 * only those on a path between the loss and a wanted value, so a step that trains theta computes no
 * weight gradient.
 */
public final class Autodiff {
  private final GraphBuilder builder;
  private final Set<Value> needed = new HashSet<>();
  private final Map<Value, List<Value>> contributions = new HashMap<>();

  private Autodiff(GraphBuilder builder) {
    this.builder = builder;
  }

  /**
   * Appends the gradients of {@code loss} with respect to {@code wanted}. Gradients of parameters
   * go to their places in the set's gradient buffer.
   *
   * @param builder holds the forward operations, and takes the backward ones
   * @param loss of shape [1]
   * @param wanted parameters or other values that the loss depends on
   * @return the gradient of each wanted value
   * @throws IllegalArgumentException where the loss has several elements or does not depend on a
   *     wanted value, or where an operation between them has no gradient
   */
  public static Map<Value, Value> gradients(GraphBuilder builder, Value loss, List<Value> wanted) {
    if (loss.shape().elements() != 1) {
      throw new IllegalArgumentException("a loss has one element, " + loss + " has more");
    }
    Value one = builder.value("dloss", loss.shape());
    List<Op> forward = List.copyOf(builder.ops());
    builder.add(new Op.Fill(1, one));
    return pullback(builder, forward, loss, one, wanted);
  }

  /**
   * Appends the gradients of the dot product of {@code y} and {@code dy} with respect to {@code
   * wanted}: {@link #gradients} for a value of any shape.
   *
   * @param builder holds the forward operations, and takes the backward ones
   * @param y what is differentiated, of any shape
   * @param dy of the shape of {@code y}
   * @param wanted parameters or other values that {@code y} depends on
   * @return the gradient of each wanted value
   * @throws IllegalArgumentException where {@code y} does not depend on a wanted value, or where an
   *     operation between them has no gradient
   */
  public static Map<Value, Value> pullback(
      GraphBuilder builder, Value y, Value dy, List<Value> wanted) {
    return pullback(builder, List.copyOf(builder.ops()), y, dy, wanted);
  }

  private static Map<Value, Value> pullback(
      GraphBuilder builder, List<Op> forward, Value y, Value dy, List<Value> wanted) {
    Autodiff autodiff = new Autodiff(builder);
    autodiff.markNeeded(forward, wanted);
    if (!autodiff.needed.contains(y)) {
      throw new IllegalArgumentException(y + " does not depend on any of the wanted values");
    }
    autodiff.contribute(y, dy);
    for (Op op : forward.reversed()) {
      autodiff.differentiate(op);
    }
    Map<Value, Value> result = new LinkedHashMap<>();
    for (Value value : wanted) {
      Value gradient = autodiff.total(value);
      if (gradient == null) {
        throw new IllegalArgumentException(y + " does not depend on " + value);
      }
      if (builder.storageOf(value) instanceof Storage.Parameter) {
        gradient = builder.own(gradient, result.containsValue(gradient));
        builder.storeGradient(value, gradient);
      }
      result.put(value, gradient);
    }
    return result;
  }

  private void markNeeded(List<Op> forward, List<Value> wanted) {
    needed.addAll(wanted);
    for (Op op : forward) {
      if (op.inputs().stream().anyMatch(needed::contains)) {
        needed.addAll(differentiable(op));
      }
    }
  }

  /** Outputs that carry a gradient: statistics and counts do not. */
  private static List<Value> differentiable(Op op) {
    return switch (op) {
      case Op.BatchNorm bn -> List.of(bn.y());
      case Op.LabelRank rank -> List.of();
      case Op.AllFinite finite -> List.of();
      case Op.MeanOverRanks means -> List.of();
      default -> op.outputs();
    };
  }

  private void contribute(Value value, Value gradient) {
    contributions.computeIfAbsent(value, v -> new ArrayList<>()).add(gradient);
  }

  private Value total(Value value) {
    List<Value> parts = contributions.get(value);
    if (parts == null) {
      return null;
    }
    Value total = builder.sum(parts);
    contributions.put(value, new ArrayList<>(List.of(total)));
    return total;
  }

  private boolean needs(Value value) {
    return needed.contains(value);
  }

  private Value fresh(Value like) {
    Value gradient = builder.value("d" + like.name(), like.shape());
    contribute(like, gradient);
    return gradient;
  }

  /** A gradient for {@code value} where something needs it, else null. */
  private Value freshIfNeeded(Value value) {
    return needs(value) ? fresh(value) : null;
  }

  private void differentiate(Op op) {
    if (op instanceof Op.Unstack unstack) {
      unstack(unstack);
      return;
    }
    if (op instanceof Op.Branch branch) {
      branch(branch);
      return;
    }
    List<Value> outputs = differentiable(op);
    if (outputs.isEmpty() || !needs(outputs.getFirst())) {
      return;
    }
    Value dy = total(outputs.getFirst());
    if (dy == null) {
      return;
    }
    switch (op) {
      case Op.Convolution c -> convolution(c, dy);
      case Op.BatchNorm bn -> batchNorm(bn, dy);
      case Op.Sum s -> s.xs().stream().filter(this::needs).forEach(x -> contribute(x, dy));
      case Op.ChannelShuffle s ->
          builder.add(new Op.ChannelShuffle(dy, fresh(s.x()), s.x().shape().get(1) / s.groups()));
      case Op.WeightedSum w -> weightedSum(w, dy);
      case Op.Choose c -> choose(c, dy);
      case Op.GumbelSoftmax g ->
          builder.add(new Op.GumbelSoftmaxBackward(g.m(), dy, g.tau(), fresh(g.theta())));
      case Op.HardMax h -> contribute(h.x(), dy);
      case Op.GlobalPool p -> builder.add(new Op.GlobalPoolBackward(dy, fresh(p.x())));
      case Op.Linear l -> linear(l, dy);
      case Op.CrossEntropy ce ->
          builder.add(
              new Op.CrossEntropyBackward(
                  ce.logits(), ce.labels(), dy, fresh(ce.logits()), ce.smoothing()));
      case Op.DotConstants d ->
          builder.add(new Op.DotConstantsBackward(dy, d.constants(), fresh(d.x())));
      case Op.Pointwise p ->
          builder.add(new Op.PointwiseBackward(p.x(), dy, p.function(), p.p(), fresh(p.x())));
      case Op.Multiply m -> multiply(m, dy);
      case Op.ScaleChannels s -> scaleChannels(s, dy);
      case Op.Mean m -> builder.add(new Op.MeanBackward(dy, fresh(m.x())));
      default ->
          throw new IllegalArgumentException(
              "no gradient is defined for " + op.getClass().getSimpleName());
    }
  }

  private void convolution(Op.Convolution c, Value dy) {
    if (needs(c.w())) {
      builder.add(
          new Op.ConvolutionBackwardWeights(c.x(), dy, fresh(c.w()), c.stride(), c.groups()));
    }
    if (needs(c.x())) {
      builder.add(new Op.ConvolutionBackwardData(dy, c.w(), fresh(c.x()), c.stride(), c.groups()));
    }
  }

  private void batchNorm(Op.BatchNorm bn, Value dy) {
    builder.add(
        new Op.BatchNormBackward(
            bn.x(),
            dy,
            bn.gamma(),
            bn.beta(),
            bn.mean(),
            bn.inverseDeviation(),
            fresh(bn.x()),
            freshIfNeeded(bn.gamma()),
            freshIfNeeded(bn.beta()),
            bn.relu(),
            bn.overRanks()));
  }

  private void weightedSum(Op.WeightedSum w, Value dy) {
    if (needs(w.m())) {
      builder.add(new Op.WeightedSumBackwardCoefficients(dy, w.xs(), fresh(w.m())));
    }
    for (int k = 0; k < w.xs().size(); k++) {
      if (needs(w.xs().get(k))) {
        builder.add(new Op.WeightedSumBackwardInput(dy, w.m(), k, fresh(w.xs().get(k))));
      }
    }
  }

  /** The gradients branch where the values were chosen among. */
  private void choose(Op.Choose c, Value dy) {
    List<Value> dys = builder.branch(dy, c.choice(), c.xs().size());
    for (int k = 0; k < dys.size(); k++) {
      contribute(c.xs().get(k), dys.get(k));
    }
  }

  /** And are chosen among where the values branched. */
  private void branch(Op.Branch b) {
    if (!needs(b.x())) {
      return;
    }
    List<Value> parts = new ArrayList<>();
    for (Value y : b.ys()) {
      Value part = total(y);
      if (part == null) {
        throw new IllegalArgumentException(
            "an alternative of choice " + b.choice() + " does not depend on " + b.x());
      }
      parts.add(part);
    }
    contribute(b.x(), builder.choose(parts, b.choice()));
  }

  private void linear(Op.Linear l, Value dy) {
    if (needs(l.w()) != needs(l.b())) {
      throw new IllegalArgumentException(
          "the gradients of " + l.w() + " and " + l.b() + " are computed together");
    }
    if (needs(l.w())) {
      builder.add(new Op.LinearBackwardWeights(l.x(), dy, fresh(l.w()), fresh(l.b())));
    }
    if (needs(l.x())) {
      builder.add(new Op.LinearBackwardData(dy, l.w(), fresh(l.x())));
    }
  }

  private void multiply(Op.Multiply m, Value dy) {
    if (needs(m.a())) {
      builder.add(new Op.Multiply(dy, m.b(), fresh(m.a())));
    }
    if (needs(m.b())) {
      builder.add(new Op.Multiply(dy, m.a(), fresh(m.b())));
    }
  }

  private void scaleChannels(Op.ScaleChannels s, Value dy) {
    if (needs(s.x())) {
      builder.add(new Op.ScaleChannels(dy, s.s(), fresh(s.x())));
    }
    if (needs(s.s())) {
      builder.add(new Op.ScaleChannelsBackwardFactors(s.x(), dy, fresh(s.s())));
    }
  }

  private void unstack(Op.Unstack unstack) {
    if (!needs(unstack.x())) {
      return;
    }
    List<Value> parts = new ArrayList<>();
    unstack.ys().forEach(y -> parts.add(total(y)));
    if (parts.stream().anyMatch(java.util.Objects::nonNull)) {
      builder.add(new Op.Stack(parts, fresh(unstack.x())));
    }
  }
}
