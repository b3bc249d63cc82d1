package io.fbnet.nas.search;

import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.BudgetCheck;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Evaluator;
import io.fbnet.nas.strategy.Problem;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;

/**
 * A search without a supernet: a controller proposes networks within a budget, an evaluator says
 * how good each is. What is done is logged, and another search of the same kind goes on from there.
 */
public final class ProposedSearch {
  private final SearchSpace space;
  private final Optional<LatencyTable> table;
  private final Budget budget;
  private final SearchSettings settings;

  /**
   * A search.
   *
   * @param space of the networks
   * @param table latencies of its blocks, if they are known; a limit of latency needs it
   * @param budget what the network may cost
   * @param settings seed and loss; nothing else is read
   * @throws UserException (exit code 3) if the table is of another space, or no network keeps the
   *     budget
   */
  public ProposedSearch(
      SearchSpace space, Optional<LatencyTable> table, Budget budget, SearchSettings settings) {
    this.space = space;
    this.table = table;
    this.budget = budget;
    this.settings = budget.limitsLatency() ? settings.withoutProduct() : settings;
    table.ifPresent(t -> t.requireFits(space, ignored -> {}));
    BudgetCheck.require(budget, space);
  }

  /** What a strategy searches: the networks within a budget. */
  static Problem problem(SearchSpace space, Budget budget, long seed) {
    OptionalDouble target =
        budget.limits().stream()
            .filter(limit -> limit.kind() == Limit.Kind.LATENCY)
            .mapToDouble(Limit::target)
            .findFirst();
    return new Problem(space.allowed(), new BudgetNetworks(budget, space.allowed()), target, seed);
  }

  /** {@return the space} */
  public SearchSpace space() {
    return space;
  }

  /** {@return what the network may cost} */
  public Budget budget() {
    return budget;
  }

  /**
   * Searches.
   *
   * @param controller makes what proposes
   * @param evaluator judges
   * @param files of the search's folder, which get the logs
   * @param evaluations how many networks to judge at most
   * @param macs multiply-adds after which no further one is judged
   * @param observer told of each
   * @return what was judged, in order; empty where the observer asked to stop
   * @throws UserException (exit code 3) where the log is of another search, (exit code 5) where it
   *     cannot be written
   */
  public Optional<List<Score>> run(
      Function<Problem, Controller> controller,
      Evaluator evaluator,
      RunFiles files,
      int evaluations,
      double macs,
      SearchObserver observer) {
    CostLog cost = new CostLog(files.cost());
    Exploration exploration =
        new Exploration(
            files.evaluations(), space, controller.apply(problem(space, budget, settings.seed())));
    boolean through =
        exploration.run(
            evaluations,
            macs,
            evaluator,
            this::score,
            (score, spent) -> cost.scored(exploration.scores().size(), spent, score.accuracy()),
            observer);
    return through ? Optional.of(exploration.scores()) : Optional.empty();
  }

  private Score score(Architecture network, Evaluator.Judgement found) {
    double ms = table.map(t -> t.latencyOf(network)).orElse(Double.NaN);
    double ce = found.crossEntropy();
    return new Score(network, ms, found.accuracy(), ce, Objective.loss(settings, ce, ms));
  }

  /**
   * {@return the best first: the most accurate where latency is limited or no loss is known, else
   * that of the least loss; of equal ones the first judged}
   *
   * @param scores what was judged
   */
  public List<Score> ranked(List<Score> scores) {
    boolean losses = scores.stream().noneMatch(score -> Double.isNaN(score.loss()));
    Comparator<Score> order =
        losses
            ? new Objective(budget.limitsLatency(), settings).order()
            : Comparator.comparingDouble(score -> -score.accuracy());
    return scores.stream().sorted(order).toList();
  }

  /**
   * {@return what was judged, in order}
   *
   * @param log a search's {@code evaluations.jsonl}
   * @param space of its networks
   * @throws UserException (exit code 3) where a line names no network of the space
   */
  public static List<Score> read(Path log, SearchSpace space) {
    return Exploration.read(log, space);
  }
}
