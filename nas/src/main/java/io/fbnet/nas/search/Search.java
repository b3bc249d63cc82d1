package io.fbnet.nas.search;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.BudgetCheck;
import io.fbnet.nas.budget.BudgetDraws;
import io.fbnet.nas.budget.BudgetProgram;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.EventFile;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Evaluator;
import io.fbnet.nas.strategy.Problem;
import io.fbnet.nas.train.Evaluation;
import io.fbnet.nas.train.RankShare;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.IntConsumer;

/** One search: a supernet and theta on a device, trained on images, then a choice. */
public final class Search implements AutoCloseable {
  private static final int DRAWS_STREAM = 6;
  private static final int UNIFORM_STREAM = 7;

  private final Backend backend;
  private final Dataset data;
  private final SearchSpace space;
  private final LatencyTable table;
  private final SearchSettings settings;
  private final SearchStrategy strategy;
  private final Supernet supernet;
  private final SearchLoop loop;

  /**
   * Sets up a search by the paper's strategy at its beginning. Device and images stay the caller's
   * and must outlive it.
   *
   * @param backend the device that computes
   * @param data images of the space's size
   * @param space to search; its class count becomes the data's
   * @param table latencies of the space's blocks on the device that the network is for
   * @param budget what the network may cost; a limit of latency takes the place of the settings'
   *     product with the latency
   * @param settings everything else
   * @throws UserException (exit code 3) if the data has no classes to tell apart, the table is of
   *     another space, or no network keeps the budget
   */
  public Search(
      Backend backend,
      Dataset data,
      SearchSpace space,
      LatencyTable table,
      Budget budget,
      SearchSettings settings) {
    this(backend, data, space, table, budget, settings, SearchStrategy.FBNET);
  }

  /**
   * The same by another strategy.
   *
   * @param backend the device that computes
   * @param data images of the space's size
   * @param space to search; its class count becomes the data's
   * @param table latencies of the space's blocks on the device that the network is for
   * @param budget what the network may cost
   * @param settings everything else
   * @param strategy how the supernet is trained and networks are found
   * @throws UserException (exit code 3) if the data has no classes to tell apart, the table is of
   *     another space, or no network keeps the budget
   */
  public Search(
      Backend backend,
      Dataset data,
      SearchSpace space,
      LatencyTable table,
      Budget budget,
      SearchSettings settings,
      SearchStrategy strategy) {
    this.strategy = strategy;
    this.backend = backend;
    this.data = data;
    this.space = fitted(space, data);
    this.table = table;
    this.settings = budget.limitsLatency() ? settings.withoutProduct() : settings;
    table.requireFits(this.space, ignored -> {});
    SearchChecks.require(this.settings, this.space, data);
    SearchChecks.require(this.settings, table);
    BudgetCheck.require(budget, this.space);
    backend.warmUp();
    SearchCosts costs = new SearchCosts(data, this.space, this.settings, strategy);
    supernet =
        new Supernet(
            backend,
            this.space,
            data.normalisation(),
            this.settings,
            table,
            budget,
            strategy,
            costs);
    try {
      loop = new SearchLoop(backend, supernet, this.settings, strategy, table, data, costs);
    } catch (RuntimeException e) {
      supernet.close();
      throw e;
    }
  }

  /**
   * {@return the space with as many classes as the data has}
   *
   * @param space of any class count
   * @param data images
   * @throws UserException (exit code 3) if the data has fewer than two
   */
  public static SearchSpace fitted(SearchSpace space, Dataset data) {
    int classes = data.classes().size();
    if (classes < 2) {
      throw UserException.data(
          "%s has %d class: a classifier needs at least two folders of images",
          data.name(), classes);
    }
    return classes == space.classes() ? space : space.withClasses(classes);
  }

  /** {@return the space, with the data's classes} */
  public SearchSpace space() {
    return space;
  }

  /** {@return the images} */
  public Dataset data() {
    return data;
  }

  /** {@return the latencies} */
  public LatencyTable table() {
    return table;
  }

  /** {@return the device that computes} */
  public Backend backend() {
    return backend;
  }

  /** {@return the settings, without the product with the latency where there is a target} */
  public SearchSettings settings() {
    return settings;
  }

  /** {@return how the supernet is trained and networks are found} */
  public SearchStrategy strategy() {
    return strategy;
  }

  /** {@return what a choice among networks makes least} */
  public Objective objective() {
    return new Objective(supernet.budget().limitsLatency(), settings);
  }

  /** {@return weights, theta and the compiled steps} */
  public Supernet supernet() {
    return supernet;
  }

  /** {@return where the search stands} */
  public SearchLoop loop() {
    return loop;
  }

  /**
   * Goes on from a folder's newest whole checkpoint; without one the search stays where it is.
   *
   * @param folder of a search with the same settings
   * @param warnings told of damaged checkpoints and of differences of device or library
   * @return whether there was one
   * @throws UserException (exit code 3) if it was made from other images
   */
  public boolean restore(RunFolder folder, Consumer<String> warnings) {
    return restore(folder, false, warnings);
  }

  /**
   * The same, from other images if that is said.
   *
   * @param folder of a search with the same settings
   * @param changedData whether the images may be others than the checkpoint's
   * @param warnings told of damaged checkpoints and of differences of device, library or images
   * @return whether there was one
   * @throws UserException (exit code 3) if it was made from other images that may not be
   */
  public boolean restore(RunFolder folder, boolean changedData, Consumer<String> warnings) {
    Optional<Checkpoints.Found> found =
        folder.checkpoints(Checkpoints.LEAST_KEPT).newestValid(warnings);
    found.ifPresent(
        checkpoint -> {
          checkpoint.requireData(data.fingerprint(), changedData, warnings);
          checkpoint.differences(RankShare.environment(backend)).forEach(warnings);
          loop.restore(checkpoint, warnings);
        });
    return found.isPresent();
  }

  /**
   * Trains w and theta to the end, or until the observer asks to stop. The folder gets the table,
   * metrics, TensorBoard events and checkpoints; {@link #restore} goes on from these.
   *
   * @param folder of this search alone
   * @param observer told after every step
   * @return whether the search is finished
   * @throws UserException (exit code 6) where a loss or gradient is no number; (exit code 5) where
   *     the folder cannot be written
   */
  public boolean run(RunFolder folder, SearchObserver observer) {
    if (!supernet.share().writes()) {
      return loop.run(folder, MetricsLog.none(), observer);
    }
    table.write(folder.latency());
    MetricsLog.truncateAfter(folder.metrics(), loop.stepsDone());
    try (EventFile events = EventFile.begin(folder.root(), loop.stepsDone() + 1);
        MetricsLog metrics = MetricsLog.open(folder.metrics())) {
      metrics.mirrorTo(events);
      return loop.run(folder, metrics, observer);
    }
  }

  /**
   * Scores theta's most likely architecture and draws from theta within the budget with the
   * supernet's weights, and reads the test images once, for the best. Ranks share the scoring.
   *
   * @param count how many to score
   * @return the best and the others
   * @throws UserException (exit code 3) if no network that keeps the budget was drawn
   */
  public Selection select(int count) {
    return select(count, false, done -> {});
  }

  /**
   * The same, beside uniform draws.
   *
   * @param count how many to score
   * @param uniform whether as many are drawn uniformly among all within the budget, independently
   *     of theta's
   * @param scored told how many are done
   * @return the best and the others
   * @throws UserException (exit code 3) if no network that keeps the budget was drawn
   */
  public Selection select(int count, boolean uniform, IntConsumer scored) {
    supernet.releaseSteps();
    try (ArchitectureScorer scorer = scorer()) {
      List<Score> scores = new ArrayList<>();
      List<int[]> choices = new ArrayList<>(draw(count));
      int drawn = choices.size();
      if (uniform) {
        choices.addAll(drawUniformly(drawn));
      }
      double[] spent = {loop.spent()};
      supernet
          .share()
          .divide(
              choices.size(),
              i -> {
                Evaluator.Judgement found = scorer.judge(choices.get(i));
                return new double[] {found.accuracy(), found.crossEntropy()};
              },
              (found, i) -> {
                Architecture network = Architecture.of("", space, choices.get(i));
                Score score =
                    ArchitectureScorer.score(network, found[0], found[1], table, settings);
                scores.add(score);
                spent[0] += loop.costs().scoring(choices.get(i));
                if (loop.log() != null) {
                  loop.log().scored(scores.size(), spent[0], score.accuracy());
                }
                scored.accept(scores.size());
              });
      Score best = objective().least(scores.subList(0, drawn));
      return new Selection(
          SamplesFile.THETA,
          scores.subList(0, drawn),
          scores.subList(drawn, scores.size()),
          best,
          scorer.test(best.architecture()),
          data.test().size());
    }
  }

  /**
   * Has a controller propose networks within the budget and scores each with the supernet's
   * weights. What is done is logged, and another call with the same log goes on from there.
   *
   * @param name of the strategy, for people
   * @param controller makes what proposes
   * @param log where; it need not be there
   * @param evaluations how many to score in all
   * @param observer told of each
   * @return what was scored, and the best of it on the test images, which are read once; empty
   *     where the observer asked to stop
   * @throws UserException (exit code 3) where the log is of another search, (exit code 5) where it
   *     cannot be written
   */
  public Optional<Selection> explore(
      String name,
      Function<Problem, Controller> controller,
      Path log,
      int evaluations,
      SearchObserver observer) {
    supernet.releaseSteps();
    Exploration exploration =
        new Exploration(
            log,
            space,
            controller.apply(ProposedSearch.problem(space, supernet.budget(), settings.seed())));
    try (ArchitectureScorer scorer = scorer()) {
      boolean through =
          exploration.run(
              evaluations,
              Double.POSITIVE_INFINITY,
              scorer,
              (network, found) ->
                  ArchitectureScorer.score(
                      network, found.accuracy(), found.crossEntropy(), table, settings),
              (score, spent) -> {
                if (loop.log() != null) {
                  int number = exploration.scores().size();
                  loop.log().scored(number, loop.spent() + spent, score.accuracy());
                }
              },
              observer);
      if (!through) {
        return Optional.empty();
      }
      List<Score> scores = exploration.scores();
      Score best = objective().least(scores);
      Evaluation test = scorer.test(best.architecture());
      return Optional.of(new Selection(name, scores, List.of(), best, test, data.test().size()));
    }
  }

  /**
   * {@return the best of what a controller proposed, each once, at most so many}
   *
   * @param log of {@link #explore}
   * @param count how many
   * @throws UserException (exit code 3) where the log holds none, or none of this space
   */
  public List<int[]> best(Path log, int count) {
    List<int[]> choices =
        Exploration.read(log, space).stream()
            .sorted(objective().order())
            .limit(count)
            .map(score -> score.architecture().choice())
            .toList();
    if (choices.isEmpty()) {
      throw UserException.data(
          "%s holds no network yet: let the search come to its end first", log);
    }
    return choices;
  }

  /** What scores architectures with the supernet's weights as they are. */
  ArchitectureScorer scorer() {
    return new ArchitectureScorer(backend, supernet, data, loop.splits(), settings, loop.costs());
  }

  /**
   * {@return architectures that keep the budget, each once, at least one and at most so many:
   * theta's most likely one, if it does, and draws from theta}
   *
   * @param count how many
   * @throws UserException (exit code 3) if there is none
   */
  public List<int[]> draw(int count) {
    Theta theta = supernet.theta();
    Budget budget = supernet.budget();
    List<int[]> choices =
        new BudgetDraws(budget, space.allowed(), theta.probabilities())
            .distinct(settings.seed(), DRAWS_STREAM, count, List.of(theta.mostLikely()));
    if (!choices.isEmpty()) {
      return choices;
    }
    // So few keep the budget that all draws missed it; a search ends with a network all the same.
    int[] any =
        new BudgetProgram(budget, space.allowed())
            .any()
            .orElseThrow(
                () ->
                    UserException.data(
                        "no architecture that keeps every limit was found in the draws from theta:"
                            + " widen --max-macs, --max-params or the latency"));
    return List.of(any);
  }

  /**
   * {@return architectures drawn uniformly among all that keep the budget, each once, independently
   * of the draws from theta; fewer than asked for where there are hardly any}
   *
   * @param count how many
   */
  public List<int[]> drawUniformly(int count) {
    return BudgetDraws.uniform(supernet.budget(), space.allowed())
        .distinct(settings.seed(), UNIFORM_STREAM, count, List.of());
  }

  /** Frees what the search holds on the device; the device and the images stay open. */
  @Override
  public void close() {
    supernet.close();
  }
}
