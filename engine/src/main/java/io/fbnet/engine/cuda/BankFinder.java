package io.fbnet.engine.cuda;

import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Finds the layers of a step whose candidates can run side by side. It matches back from each
 * weighted sum; what does not fit stays as it is, and so does a whole layer where something else
 * reads what would no longer be written.
 */
final class BankFinder {
  /** Candidates that the kernels of {@code bank.cu} hold in registers. */
  private static final int MOST = 8;

  /** Tensors beside them that these kernels take. */
  private static final int MOST_OTHERS = 16;

  /** Below, side by side is no different. */
  private static final int LEAST = 2;

  private final Graph graph;
  private final List<Op> ops;
  private final Map<Value, Op> producers = new HashMap<>();
  private final Map<Value, List<Op>> readers = new HashMap<>();
  private final Set<Value> kept = new HashSet<>();

  BankFinder(Graph graph, List<Op> ops) {
    this.graph = graph;
    this.ops = ops;
    for (Op op : ops) {
      op.outputs().forEach(v -> producers.putIfAbsent(v, op));
      Set.copyOf(op.inputs())
          .forEach(v -> readers.computeIfAbsent(v, none -> new ArrayList<>()).add(op));
    }
    kept.addAll(graph.storage().keySet());
    kept.addAll(graph.outputs().values());
  }

  /**
   * A bank and the operations that it takes the place of.
   *
   * @param layer what was found
   * @param replaced all of them, the sum of the input's gradients among them
   */
  record Found(LayerBank layer, Set<Op> replaced) {}

  List<Found> find() {
    List<Found> found = new ArrayList<>();
    for (Op op : ops) {
      if (op instanceof Op.WeightedSum mix) {
        layer(mix).flatMap(this::replacing).ifPresent(found::add);
      }
    }
    return found;
  }

  private <T extends Op> T producer(Value v, Class<T> type) {
    return type.isInstance(producers.get(v)) ? type.cast(producers.get(v)) : null;
  }

  private <T extends Op> T reader(Value v, Class<T> type, Predicate<T> which) {
    List<T> all =
        readers.getOrDefault(v, List.of()).stream()
            .filter(type::isInstance)
            .map(type::cast)
            .filter(which)
            .toList();
    return all.size() == 1 ? all.getFirst() : null;
  }

  // The layer

  private Optional<LayerBank> layer(Op.WeightedSum mix) {
    List<BankCandidate> all = new ArrayList<>();
    for (int k = 0; k < mix.xs().size(); k++) {
      BankCandidate candidate = candidate(k, mix.xs().get(k));
      if (candidate != null && mix.xs().indexOf(mix.xs().get(k)) == k) {
        all.add(candidate);
      }
    }
    // Those like the first: what reads the same images in the same way.
    List<BankCandidate> alike =
        all.stream()
            .filter(c -> like(c, all.getFirst()))
            .limit(MOST)
            .sorted(Comparator.comparingInt(BankCandidate::kernel))
            .toList();
    if (alike.size() < LEAST) {
      return Optional.empty();
    }
    Value x = alike.getFirst().x();
    List<Integer> identities = new ArrayList<>();
    List<Integer> others = new ArrayList<>();
    for (int k = 0; k < mix.xs().size(); k++) {
      int number = k;
      if (mix.xs().get(k).equals(x)) {
        identities.add(k);
      } else if (alike.stream().noneMatch(c -> c.k() == number)) {
        others.add(k);
      }
    }
    boolean images = mix.y().shape().rank() == 4 && others.size() <= MOST_OTHERS;
    return images ? backward(mix, alike, identities, others) : Optional.empty();
  }

  private boolean like(BankCandidate a, BankCandidate b) {
    return a.x().equals(b.x())
        && a.depthwise().stride() == b.depthwise().stride()
        && like(a.expandNorm(), b.expandNorm())
        && like(a.depthwiseNorm(), b.depthwiseNorm())
        && like(a.projectNorm(), b.projectNorm());
  }

  private boolean like(Op.BatchNorm a, Op.BatchNorm b) {
    boolean moves = a.momentum() != null;
    return set(a.gamma()).equals(set(b.gamma()))
        && (!moves || set(a.runningMean()).equals(set(b.runningMean())))
        && a.epsilon() == b.epsilon()
        && a.relu() == b.relu()
        && moves == (b.momentum() != null)
        && (!moves || a.momentum().equals(b.momentum()));
  }

  private BankCandidate candidate(int k, Value result) {
    Op.BatchNorm third = producer(result, Op.BatchNorm.class);
    Value added = null;
    if (producers.get(result) instanceof Op.Sum sum && sum.xs().size() == 2) {
      for (int i = 0; i < 2 && third == null; i++) {
        third = producer(sum.xs().get(i), Op.BatchNorm.class);
        added = sum.xs().get(1 - i);
        third = third != null && isCandidate(third, added) ? third : null;
      }
    }
    if (third == null || third.relu()) {
      return null;
    }
    Op.Convolution project = pointwise(third.x());
    Op.BatchNorm second = project == null ? null : producer(project.x(), Op.BatchNorm.class);
    Op.Convolution depthwise = second == null ? null : producer(second.x(), Op.Convolution.class);
    if (depthwise == null || !CudaConvolution.depthwise(depthwise)) {
      return null;
    }
    Op.ChannelShuffle shuffle = producer(depthwise.x(), Op.ChannelShuffle.class);
    Value normalised = shuffle == null ? depthwise.x() : shuffle.x();
    Op.BatchNorm first = producer(normalised, Op.BatchNorm.class);
    Op.Convolution expand = first == null ? null : pointwise(first.x());
    if (expand == null
        || added != null && !added.equals(expand.x())
        || Stream.of(first, second, third).anyMatch(bn -> !inOneBuffer(bn))) {
      return null;
    }
    return new BankCandidate(
        k,
        expand,
        first,
        shuffle == null ? 1 : shuffle.groups(),
        depthwise,
        second,
        project,
        third,
        added != null,
        null);
  }

  /** Which of two summands is the candidate's own: its first convolution reads the other. */
  private boolean isCandidate(Op.BatchNorm last, Value added) {
    Set<Value> before = new HashSet<>();
    collect(last.x(), added, before);
    return before.contains(added);
  }

  private void collect(Value v, Value until, Set<Value> before) {
    Op op = producers.get(v);
    boolean within =
        op instanceof Op.Convolution
            || op instanceof Op.BatchNorm
            || op instanceof Op.ChannelShuffle;
    if (before.add(v) && within && !v.equals(until)) {
      op.inputs().forEach(input -> collect(input, until, before));
    }
  }

  /** Whether scale and shift lie in one buffer, and the running statistics in one. */
  private boolean inOneBuffer(Op.BatchNorm bn) {
    return set(bn.gamma()).equals(set(bn.beta()))
        && (bn.momentum() == null || set(bn.runningMean()).equals(set(bn.runningVariance())));
  }

  /** The set of a parameter, with its own name for what is none. */
  private String set(Value v) {
    return graph.storage().get(v) instanceof Storage.Parameter p ? p.set() : v.toString();
  }

  private Op.Convolution pointwise(Value y) {
    Op.Convolution c = producer(y, Op.Convolution.class);
    boolean fits =
        c != null
            && c.stride() == 1
            && c.w().shape().get(2) == 1
            && graph.storage().get(c.w()) instanceof Storage.Parameter;
    return fits ? c : null;
  }

  // Its gradients

  private Optional<LayerBank> backward(
      Op.WeightedSum mix,
      List<BankCandidate> candidates,
      List<Integer> identities,
      List<Integer> others) {
    Op.WeightedSumBackwardCoefficients coefficients =
        ops.stream()
            .filter(Op.WeightedSumBackwardCoefficients.class::isInstance)
            .map(Op.WeightedSumBackwardCoefficients.class::cast)
            .filter(c -> reads(c, candidates.getFirst()))
            .findFirst()
            .orElse(null);
    Map<Integer, Op.WeightedSumBackwardInput> shares = new HashMap<>();
    for (Op reader : readers.getOrDefault(mix.m(), List.of())) {
      if (reader instanceof Op.WeightedSumBackwardInput share) {
        shares.put(share.k(), share);
      }
    }
    Value dy =
        shares.isEmpty()
            ? coefficients == null ? null : coefficients.dy()
            : shares.values().iterator().next().dy();
    List<BankCandidate> withGradients = new ArrayList<>();
    for (BankCandidate c : candidates) {
      BankCandidate.Gradient gradient =
          shares.containsKey(c.k()) ? gradient(c, shares.get(c.k()).dx()) : null;
      if (gradient == null && shares.containsKey(c.k())) {
        return Optional.empty();
      }
      withGradients.add(c.with(gradient));
    }
    if (!uniform(withGradients)) {
      return Optional.empty();
    }
    BankCandidate.Gradient any = withGradients.getFirst().gradient();
    if (any == null || any.input() == null) {
      return Optional.of(
          new LayerBank(mix, withGradients, identities, others, dy, coefficients, null, List.of()));
    }
    Set<Value> made = new HashSet<>();
    for (BankCandidate c : withGradients) {
      made.add(c.gradient().input());
      if (c.addsInput()) {
        made.add(c.gradient().share());
      }
    }
    for (int k : identities) {
      if (!shares.containsKey(k)) {
        return Optional.empty();
      }
      made.add(shares.get(k).dx());
    }
    Op.Sum total = reader(any.input(), Op.Sum.class, sum -> true);
    if (total == null || !total.xs().containsAll(made)) {
      return Optional.empty();
    }
    List<Value> rest = total.xs().stream().filter(v -> !made.contains(v)).toList();
    if (rest.size() + made.size() != total.xs().size()) {
      return Optional.empty();
    }
    return Optional.of(
        new LayerBank(mix, withGradients, identities, others, dy, coefficients, total, rest));
  }

  /** Whether an operation reads a candidate's result, or what was to be computed of it again. */
  private boolean reads(Op.WeightedSumBackwardCoefficients c, BankCandidate candidate) {
    return c.xs().size() > candidate.k()
        && endsWith(c.xs().get(candidate.k()), candidate.projectNorm().mean());
  }

  private boolean endsWith(Value v, Value mean) {
    return switch (producers.get(v)) {
      case Op.BatchNorm bn -> bn.mean().equals(mean);
      case Op.BatchNormApply bn -> bn.mean().equals(mean);
      case Op.Sum sum -> sum.xs().stream().anyMatch(x -> endsWith(x, mean));
      case null, default -> false;
    };
  }

  /** All have gradients of the same kinds, or none has any. */
  private static boolean uniform(List<BankCandidate> candidates) {
    Stream<List<Boolean>> kinds =
        candidates.stream()
            .map(
                c ->
                    c.gradient() == null
                        ? List.<Boolean>of()
                        : List.of(
                            c.gradient().ofWeights(),
                            c.gradient().input() != null,
                            c.gradient().readsAgain(c)));
    return kinds.distinct().count() == 1;
  }

  private BankCandidate.Gradient gradient(BankCandidate c, Value share) {
    Op.BatchNormBackward third = norm(share, c.projectNorm());
    Op.ConvolutionBackwardData projectData = third == null ? null : data(third, c.project());
    Op.BatchNormBackward second =
        projectData == null ? null : norm(projectData.dx(), c.depthwiseNorm());
    Op.ConvolutionBackwardData depthwiseData = second == null ? null : data(second, c.depthwise());
    if (depthwiseData == null) {
      return null;
    }
    Value inner = depthwiseData.dx();
    if (c.shuffle() > 1) {
      Op.ChannelShuffle back = reader(inner, Op.ChannelShuffle.class, s -> true);
      inner = back == null ? null : back.y();
    }
    Op.BatchNormBackward first = inner == null ? null : norm(inner, c.expandNorm());
    if (first == null) {
      return null;
    }
    Op.ConvolutionBackwardData input = data(first, c.expand());
    BankCandidate.Gradient gradient =
        new BankCandidate.Gradient(
            share,
            third,
            weights(third),
            second,
            weights(second),
            first,
            weights(first),
            input == null ? null : input.dx());
    return complete(gradient) ? gradient : null;
  }

  private Op.BatchNormBackward norm(Value dy, Op.BatchNorm forward) {
    return reader(
        dy,
        Op.BatchNormBackward.class,
        bn -> bn.dy().equals(dy) && bn.mean().equals(forward.mean()));
  }

  private Op.ConvolutionBackwardData data(Op.BatchNormBackward after, Op.Convolution forward) {
    return reader(after.dx(), Op.ConvolutionBackwardData.class, c -> c.w().equals(forward.w()));
  }

  private Op.ConvolutionBackwardWeights weights(Op.BatchNormBackward after) {
    return reader(after.dx(), Op.ConvolutionBackwardWeights.class, c -> true);
  }

  /** Whether all weights have gradients that lie in their set's buffer, or none has one. */
  private boolean complete(BankCandidate.Gradient g) {
    List<Value> all = new ArrayList<>();
    for (Op.ConvolutionBackwardWeights c :
        Arrays.asList(g.projectWeights(), g.depthwiseWeights(), g.expandWeights())) {
      all.add(c == null ? null : c.dw());
    }
    for (Op.BatchNormBackward bn : List.of(g.projectNorm(), g.depthwiseNorm(), g.expandNorm())) {
      all.add(bn.dgamma());
      all.add(bn.dbeta());
    }
    return all.stream().allMatch(v -> v == null)
        || all.stream()
            .allMatch(v -> v != null && graph.storage().get(v) instanceof Storage.Gradient);
  }

  // What it takes the place of

  private Optional<Found> replacing(LayerBank layer) {
    Set<Op> replaced = new HashSet<>();
    replaced.add(layer.mix());
    for (BankCandidate c : layer.candidates()) {
      Value result = layer.mix().xs().get(c.k());
      replaced.add(producers.get(result));
      replaced.add(c.projectNorm());
      replaced.add(c.project());
      replaced.add(c.depthwiseNorm());
      replaced.add(c.depthwise());
      replaced.add(producers.get(c.depthwise().x()));
      replaced.add(c.expandNorm());
      replaced.add(c.expand());
    }
    if (layer.coefficients() != null) {
      replaced.add(layer.coefficients());
    }
    if (layer.total() != null) {
      replaced.add(layer.total());
    }
    addGradients(layer, replaced);
    addUnread(replaced, read(layer));
    Set<Value> made = new HashSet<>(graph.storage().keySet());
    made.add(layer.mix().y());
    if (layer.coefficients() != null) {
      made.add(layer.coefficients().dm());
    }
    if (layer.total() != null) {
      made.add(layer.total().y());
    }
    boolean closed =
        replaced.stream()
            .flatMap(op -> op.outputs().stream())
            .allMatch(v -> made.contains(v) || !kept.contains(v) && onlyReadBy(v, replaced));
    return closed ? Optional.of(new Found(layer, replaced)) : Optional.empty();
  }

  private boolean onlyReadBy(Value v, Set<Op> replaced) {
    return replaced.containsAll(readers.getOrDefault(v, List.of()));
  }

  private void addGradients(LayerBank layer, Set<Op> replaced) {
    for (BankCandidate c : layer.candidates()) {
      BankCandidate.Gradient g = c.gradient();
      if (g != null) {
        Stream.of(g.projectNorm(), g.depthwiseNorm(), g.expandNorm())
            .flatMap(
                bn ->
                    Stream.concat(Stream.of(bn), readers.getOrDefault(bn.dx(), List.of()).stream()))
            .forEach(replaced::add);
        replaced.add(producers.get(g.share()));
        replaced.add(producers.get(g.expandNorm().dy()));
      }
    }
    if (layer.total() != null) {
      for (int k : layer.identities()) {
        readers.getOrDefault(layer.mix().m(), List.of()).stream()
            .filter(op -> op instanceof Op.WeightedSumBackwardInput w && w.k() == k)
            .forEach(replaced::add);
      }
    }
  }

  /** What a bank goes on to read. */
  private static Set<Value> read(LayerBank layer) {
    Set<Value> read = new HashSet<>(Arrays.asList(layer.x(), layer.dy()));
    for (int k : layer.others()) {
      read.add(layer.mix().xs().get(k));
      if (layer.coefficients() != null) {
        read.add(layer.coefficients().xs().get(k));
      }
    }
    return read;
  }

  /**
   * Operations that only the replaced ones read, or none: images that were to be computed again.
   */
  private void addUnread(Set<Op> replaced, Set<Value> read) {
    for (Op op : ops.reversed()) {
      boolean unread =
          !op.outputs().isEmpty()
              && !op.updatesParameters()
              && op.outputs().stream()
                  .allMatch(v -> !kept.contains(v) && !read.contains(v) && onlyReadBy(v, replaced));
      boolean again =
          op instanceof Op.Convolution
              || op instanceof Op.BatchNormApply
              || op instanceof Op.ChannelShuffle
              || op instanceof Op.Sum;
      if (unread && again) {
        replaced.add(op);
      }
    }
  }
}
