package io.fbnet.engine.graph;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Trades time for memory in a training step: what lies inside the candidates of a weighted sum is
 * computed again, one candidate at a time, where the gradients need it, and not kept in between.
 * Each candidate's last convolution is kept, for it is small and makes the candidate's result
 * without computing the rest again. Batch norms are applied with the statistics of the first time,
 * so the step's results are the same bits and running statistics move once.
 */
public final class Recompute {
  private final List<Op> ops;
  private final Map<Value, Op> producers = new HashMap<>();
  private final Map<Value, List<Op>> readers = new HashMap<>();
  private final Set<Value> dropped = new HashSet<>();
  private final Map<Value, Value> again = new HashMap<>();
  private final List<Op> result = new ArrayList<>();
  private int nextId;

  private Recompute(Graph graph) {
    ops = graph.ops();
    for (Op op : ops) {
      op.outputs().forEach(v -> producers.put(v, op));
      op.inputs().forEach(v -> readers.computeIfAbsent(v, key -> new ArrayList<>()).add(op));
    }
    nextId = graph.nextId();
    for (Op op : ops) {
      switch (op) {
        case Op.WeightedSum w -> dropWithin(w.xs());
        case Op.Choose c -> dropWithin(c.xs());
        default -> {}
      }
    }
    dropped.removeAll(graph.storage().keySet());
    dropped.removeAll(graph.outputs().values());
    dropped.removeIf(
        v -> !readers.getOrDefault(v, List.of()).stream().allMatch(Recompute::canReadAgain));
    // Found before any is taken out: which convolution is a candidate's last is told by what else
    // was dropped.
    Set<Value> last = new HashSet<>();
    dropped.stream().filter(this::isLastConvolution).forEach(last::add);
    dropped.removeAll(last);
  }

  /**
   * {@return the step with the insides of candidates computed again}
   *
   * @param graph a training step; one without gradients stays as it is
   */
  public static Graph insideCandidates(Graph graph) {
    Recompute pass = new Recompute(graph);
    pass.rewrite();
    return new Graph(pass.result, graph.storage(), graph.parameters(), graph.outputs());
  }

  /** Marks what only one candidate of a weighted sum or of a choice is made of. */
  private void dropWithin(List<Value> xs) {
    Map<Value, Integer> candidates = new HashMap<>();
    for (Value x : new HashSet<>(xs)) {
      Set<Value> inside = new HashSet<>();
      collect(x, inside);
      inside.forEach(v -> candidates.merge(v, 1, Integer::sum));
    }
    candidates.forEach(
        (v, count) -> {
          if (count == 1 && isRepeatable(producers.get(v))) {
            dropped.add(v);
          }
        });
  }

  private void collect(Value v, Set<Value> inside) {
    Op producer = producers.get(v);
    if (producer != null && !ends(producer) && inside.add(v)) {
      producer.inputs().forEach(input -> collect(input, inside));
    }
  }

  /** Whether candidates end with an operation, or begin with it. */
  private static boolean ends(Op op) {
    return op instanceof Op.WeightedSum || op instanceof Op.Choose || op instanceof Op.Branch;
  }

  private static boolean isRepeatable(Op op) {
    return op instanceof Op.Convolution
        || op instanceof Op.BatchNorm
        || op instanceof Op.ChannelShuffle
        || op instanceof Op.Sum
        || op instanceof Op.ScaleChannels
        || op instanceof Op.Pointwise;
  }

  /** Forward operations read the first making, these gradients the second. */
  private static boolean canReadAgain(Op op) {
    return isRepeatable(op)
        || op instanceof Op.WeightedSum
        || op instanceof Op.Choose
        || op instanceof Op.GlobalPool
        || op instanceof Op.ConvolutionBackwardWeights
        || op instanceof Op.BatchNormBackward
        || op instanceof Op.PointwiseBackward
        || op instanceof Op.ScaleChannelsBackwardFactors
        || op instanceof Op.WeightedSumBackwardCoefficients;
  }

  /** Whether a convolution's result becomes the candidate's by cheap operations alone. */
  private boolean isLastConvolution(Value v) {
    return producers.get(v) instanceof Op.Convolution && !leadsToConvolution(v);
  }

  private boolean leadsToConvolution(Value v) {
    return readers.get(v).stream()
        .filter(op -> isRepeatable(op) && dropped.contains(image(op)))
        .anyMatch(op -> op instanceof Op.Convolution || leadsToConvolution(image(op)));
  }

  /** What a repeatable operation makes, its statistics apart. */
  private static Value image(Op op) {
    return switch (op) {
      case Op.Convolution c -> c.y();
      case Op.BatchNorm bn -> bn.y();
      case Op.ChannelShuffle s -> s.y();
      case Op.Sum s -> s.y();
      case Op.ScaleChannels s -> s.y();
      case Op.Pointwise p -> p.y();
      default -> throw new IllegalArgumentException(op.name());
    };
  }

  private void rewrite() {
    for (Op op : ops) {
      result.add(
          switch (op) {
            case Op.ConvolutionBackwardWeights c ->
                new Op.ConvolutionBackwardWeights(
                    made(c.x()), c.dy(), c.dw(), c.stride(), c.groups());
            case Op.BatchNormBackward bn -> {
              Value x = made(bn.x());
              makeWhatPrecedes(bn.x());
              yield new Op.BatchNormBackward(
                  x,
                  bn.dy(),
                  bn.gamma(),
                  bn.beta(),
                  bn.mean(),
                  bn.inverseDeviation(),
                  bn.dx(),
                  bn.dgamma(),
                  bn.dbeta(),
                  bn.relu(),
                  bn.overRanks());
            }
            case Op.PointwiseBackward p ->
                new Op.PointwiseBackward(made(p.x()), p.dy(), p.function(), p.p(), p.dx());
            case Op.ScaleChannelsBackwardFactors s ->
                new Op.ScaleChannelsBackwardFactors(made(s.x()), s.dy(), s.ds());
            case Op.WeightedSumBackwardCoefficients w ->
                new Op.WeightedSumBackwardCoefficients(
                    w.dy(), w.xs().stream().map(this::made).toList(), w.dm());
            default -> op;
          });
    }
  }

  /**
   * A candidate's gradients begin at its last norm: there all of it is made again, so that they run
   * undivided, as they do where nothing is made again.
   */
  private void makeWhatPrecedes(Value x) {
    if (producers.get(x) instanceof Op.Convolution c) {
      made(c.x());
    }
  }

  /** A value as the gradients read it: made again where it was dropped. */
  private Value made(Value v) {
    if (!dropped.contains(v)) {
      return v;
    }
    Value known = again.get(v);
    if (known != null) {
      return known;
    }
    Value y = new Value(nextId++, v.name() + " again", v.shape(), v.type());
    result.add(
        switch (producers.get(v)) {
          case Op.Convolution c ->
              new Op.Convolution(made(c.x()), c.w(), y, c.stride(), c.groups());
          case Op.BatchNorm bn ->
              new Op.BatchNormApply(
                  made(bn.x()),
                  bn.gamma(),
                  bn.beta(),
                  bn.mean(),
                  bn.inverseDeviation(),
                  y,
                  bn.relu());
          case Op.ChannelShuffle s -> new Op.ChannelShuffle(made(s.x()), y, s.groups());
          case Op.Sum s -> new Op.Sum(s.xs().stream().map(this::made).toList(), y);
          case Op.ScaleChannels s -> new Op.ScaleChannels(made(s.x()), made(s.s()), y);
          case Op.Pointwise p -> new Op.Pointwise(made(p.x()), p.function(), p.p(), y);
          case Op other -> throw new IllegalStateException(other.name());
        });
    again.put(v, y);
    return y;
  }
}
