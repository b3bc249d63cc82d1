package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.search.PathSampling;
import io.fbnet.nas.search.SearchStrategy;
import io.fbnet.nas.strategy.Strategy;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** How a search trains its supernet and finds a network. */
final class StrategyFlags {
  private static final String SINGLE_PATH = "single-path";
  private static final List<SearchStrategy> BY_GRADIENTS =
      List.of(
          SearchStrategy.FBNET,
          SearchStrategy.DARTS,
          SearchStrategy.DARTS2,
          SearchStrategy.GDAS,
          SearchStrategy.TF_NAS);

  /** Which paths train w, where the strategy leaves that open. */
  enum Sampling {
    UNIFORM(PathSampling.UNIFORM),
    FAIR(PathSampling.FAIR),
    SANDWICH(PathSampling.SANDWICH);

    private final PathSampling paths;

    Sampling(PathSampling paths) {
      this.paths = paths;
    }
  }

  @Option(
      names = "--strategy",
      paramLabel = "NAME",
      defaultValue = "fbnet",
      description = {
        "How to search; beside each the time of its epochs beside fbnet's.",
        "fbnet: the mixture by Gumbel-softmax, w and theta by turns: 1.",
        "darts: the same without noise, first order: 1.",
        "darts2: the same, second order, by looking one w step ahead: 1.7, since a theta step takes"
            + " four forward and backward passes.",
        "gdas: one hard path drawn from theta in every step of either kind: a seventh.",
        "tf-nas: w by one path drawn from theta and one uniform path a step, theta by the mixture"
            + " after every second of them: a half, most of it theta's.",
        "single-path: w by one path a step, then ageing evolution on the supernet's scores: a"
            + " seventh for the epochs, and each evaluation a forward pass over 20 batches and the"
            + " theta split.",
        "random, evolution, ranked-evolution, reinforce, rnn, mnasnet: the same with another"
            + " controller: uniform draws; ageing evolution; evolution whose offspring a linear"
            + " model ranks; independent logits, absolute reward (TuNAS); an LSTM by REINFORCE; an"
            + " LSTM by PPO with ACC x (LAT / T)^w."
      })
  String strategy;

  @Option(
      names = "--sampling",
      defaultValue = "uniform",
      description =
          "The paths that train w, where paths do: uniform (one a step), fair (each candidate once"
              + " a step: as many paths as candidates) or sandwich (the largest, the smallest and"
              + " two uniform, which learn from what the largest says).")
  Sampling sampling;

  @Option(
      names = "--evaluations",
      defaultValue = "100",
      description = "Networks that the controller proposes and the supernet scores.")
  int evaluations;

  @Option(
      names = "--evaluator",
      paramLabel = "HOW",
      defaultValue = "supernet",
      description = {
        "What judges the networks that a controller proposes (random, evolution, ranked-evolution,"
            + " reinforce, rnn, mnasnet):",
        "supernet: the weights of a trained supernet, norms recalibrated.",
        "train:E: a training from scratch of E epochs, by --rate, --batch, --momentum,"
            + " --weight-decay; no supernet is trained.",
        "table:FILE: known accuracies; nothing is trained, no images and no device are needed."
      })
  String evaluator;

  /** What judges networks, as the flag says it. */
  EvaluatorChoice evaluator() {
    return EvaluatorChoice.parse(evaluator);
  }

  /** Whether a strategy trains w by paths that are open to choose. */
  static boolean takesSampling(String strategy) {
    return BY_GRADIENTS.stream().noneMatch(known -> known.name().equals(strategy));
  }

  /** The strategy that the flags name. */
  SearchStrategy resolve() {
    Ranges.architectures("--evaluations", evaluations);
    EvaluatorChoice how = evaluator();
    if (how.kind() != EvaluatorChoice.Kind.SUPERNET) {
      requireController(how);
    }
    evaluator = how.anchored();
    for (SearchStrategy known : BY_GRADIENTS) {
      if (known.name().equals(strategy)) {
        if (sampling != Sampling.UNIFORM) {
          throw UserException.usage(
              "--strategy %s trains w in its own way: leave --sampling out, or take single-path",
              strategy);
        }
        return known;
      }
    }
    if (strategy.equals(SINGLE_PATH)) {
      return SearchStrategy.singlePath(sampling.paths);
    }
    if (Strategy.words().contains(strategy)) {
      return SearchStrategy.byPaths(strategy, sampling.paths, Strategy.of(strategy)::begin);
    }
    List<String> names = new ArrayList<>(BY_GRADIENTS.stream().map(SearchStrategy::name).toList());
    names.add(SINGLE_PATH);
    names.addAll(Strategy.words());
    throw UserException.usage(
        "there is no --strategy '%s'%s", strategy, Nearest.hint(strategy, names));
  }

  /** Refuses what needs a supernet, where none is trained. */
  private void requireController(EvaluatorChoice how) {
    boolean gradients = BY_GRADIENTS.stream().anyMatch(known -> known.name().equals(strategy));
    if (gradients || strategy.equals(SINGLE_PATH)) {
      throw UserException.usage(
          "--strategy %s trains a supernet, and --evaluator %s needs none: leave --evaluator out,"
              + " or take one of %s",
          strategy, how.text(), String.join(", ", Strategy.words()));
    }
    if (sampling != Sampling.UNIFORM) {
      throw UserException.usage(
          "--sampling says how paths train a supernet, and --evaluator %s needs none: leave it out",
          how.text());
    }
  }
}
