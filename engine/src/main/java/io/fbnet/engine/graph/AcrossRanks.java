package io.fbnet.engine.graph;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Makes a training step the share of one rank among several, each with as many other images. What
 * all ranks must have in the same bits is replaced by its mean over them: the gradients of a set
 * before anything reads its buffer of them, outputs of one element such as the loss, and running
 * statistics of norms that see the images of one rank alone. Noise for each image is that of its
 * place in the whole batch.
 */
public final class AcrossRanks {
  private final Graph graph;
  private final int rank;
  private final boolean norms;
  private final List<Op> ops = new ArrayList<>();
  private final Map<Value, Value> means = new HashMap<>();

  /** Sets of which gradients, or statistics, have changed and were not exchanged yet. */
  private final Set<String> gradients = new LinkedHashSet<>();

  private final Set<String> statistics = new LinkedHashSet<>();
  private final Map<Value, Storage> storage;
  private int nextId;

  private AcrossRanks(Graph graph, int rank, boolean norms) {
    this.graph = graph;
    this.rank = rank;
    this.norms = norms;
    nextId = graph.nextId();
    storage = new LinkedHashMap<>(graph.storage());
  }

  /**
   * Rewrites a step.
   *
   * @param graph a step by the images of one rank; a loss in it is a mean over them
   * @param rank of the ranks that run it, from 0
   * @param norms whether batch norms are over the images of all ranks, not over each rank's
   * @return the share
   */
  public static Graph share(Graph graph, int rank, boolean norms) {
    AcrossRanks share = new AcrossRanks(graph, rank, norms);
    graph.ops().forEach(share::add);
    share.exchangeAll();
    Map<String, Value> outputs = new LinkedHashMap<>();
    graph
        .outputs()
        .forEach((name, value) -> outputs.put(name, share.means.getOrDefault(value, value)));
    return new Graph(share.ops, share.storage, graph.parameters(), outputs);
  }

  private void add(Op op) {
    if (op instanceof Op.Phase) {
      exchangeAll();
    }
    for (Value input : op.inputs()) {
      if (storage.get(input) instanceof Storage.Flat flat) {
        if (flat.buffer().equals(Storage.Flat.GRADIENTS) && gradients.contains(flat.set())) {
          exchangeResults();
          exchange(gradients, flat);
        } else if (flat.buffer().equals(Storage.Flat.VALUES)) {
          exchange(statistics, flat);
        }
      }
    }
    if (op instanceof Op.BatchNorm bn && bn.momentum() != null && !norms) {
      statistics.add(((Storage.Parameter) storage.get(bn.runningMean())).set());
    }
    for (Value output : op.outputs()) {
      if (storage.get(output) instanceof Storage.Gradient gradient) {
        gradients.add(gradient.set());
      }
    }
    ops.add(
        switch (op) {
          case Op.BatchNorm bn when norms ->
              new Op.BatchNorm(
                  bn.x(),
                  bn.gamma(),
                  bn.beta(),
                  bn.runningMean(),
                  bn.runningVariance(),
                  bn.momentum(),
                  bn.y(),
                  bn.mean(),
                  bn.inverseDeviation(),
                  bn.epsilon(),
                  bn.relu(),
                  true);
          case Op.BatchNormBackward bn when norms ->
              new Op.BatchNormBackward(
                  bn.x(),
                  bn.dy(),
                  bn.gamma(),
                  bn.beta(),
                  bn.mean(),
                  bn.inverseDeviation(),
                  bn.dx(),
                  bn.dgamma(),
                  bn.dbeta(),
                  bn.relu(),
                  true);
          case Op.GumbelSoftmax g when g.m().shape().get(0) > 1 ->
              new Op.GumbelSoftmax(
                  g.theta(),
                  g.tau(),
                  g.seed(),
                  g.step(),
                  g.m(),
                  g.stream(),
                  (long) rank * g.m().shape().get(0));
          case Op.AllFinite finite ->
              new Op.AllFinite(
                  finite.xs().stream().map(x -> means.getOrDefault(x, x)).toList(),
                  finite.finite());
          default -> op;
        });
  }

  /** What has changed since it was last exchanged, before what follows is run by itself. */
  private void exchangeAll() {
    exchangeResults();
    List.copyOf(gradients)
        .forEach(set -> exchange(gradients, new Storage.Flat(set, Storage.Flat.GRADIENTS)));
    List.copyOf(statistics)
        .forEach(set -> exchange(statistics, new Storage.Flat(set, Storage.Flat.VALUES)));
  }

  /** A buffer lies in one piece, so it is one exchange. */
  private void exchange(Set<String> changed, Storage.Flat buffer) {
    if (changed.remove(buffer.set())) {
      Value value = flat(buffer);
      ops.add(new Op.MeanOverRanks(List.of(value), List.of(value)));
    }
  }

  /** All of a set's buffer as one value. */
  private Value flat(Storage.Flat buffer) {
    for (Map.Entry<Value, Storage> entry : storage.entrySet()) {
      if (entry.getValue().equals(buffer)) {
        return entry.getKey();
      }
    }
    long size = ParameterLayout.of(buffer.set(), graph.parameters()).size();
    String name = buffer.set() + " " + buffer.buffer();
    Value value = new Value(nextId++, name, Shape.of(Math.toIntExact(size)), Type.F32);
    storage.put(value, buffer);
    return value;
  }

  /** Outputs of one element that are there by now: losses, and what is told beside them. */
  private void exchangeResults() {
    Set<Value> made = new HashSet<>();
    // A flag is of what all ranks have in equal bits.
    ops.stream()
        .filter(op -> !(op instanceof Op.AllFinite))
        .forEach(op -> made.addAll(op.outputs()));
    List<Value> xs =
        graph.outputs().values().stream()
            .distinct()
            .filter(made::contains)
            .filter(v -> v.shape().elements() == 1 && v.type() == Type.F32)
            .filter(v -> !means.containsKey(v))
            .toList();
    if (!xs.isEmpty()) {
      List<Value> ys = new ArrayList<>();
      for (Value x : xs) {
        Value y = new Value(nextId++, x.name() + " of all ranks", x.shape(), x.type());
        ys.add(y);
        means.put(x, y);
      }
      ops.add(new Op.MeanOverRanks(xs, ys));
    }
  }
}
