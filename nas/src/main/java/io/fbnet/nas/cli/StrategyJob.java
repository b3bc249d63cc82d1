package io.fbnet.nas.cli;

import io.fbnet.nas.report.ComparedRun;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.search.Course;
import io.fbnet.nas.search.ProposedSearch;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.AccuracyTable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * One search of a comparison, in a run folder of its own: any process may do it, and it goes on
 * where another was stopped.
 *
 * @param comparison the folder of the comparison, which has the space and the table
 * @param supernet whether it trains one
 * @param strategy that searches
 * @param seed of the search
 */
record StrategyJob(Path comparison, boolean supernet, String strategy, long seed) {
  /** The folder of the run. */
  Path root() {
    return comparison.resolve("jobs").resolve(String.format(Locale.ROOT, "%s-%d", strategy, seed));
  }

  /** Whether its result is there. */
  boolean isDone(int children) {
    RunFiles files = new RunFiles(root());
    // Each is what a search writes last.
    return Files.exists(supernet ? files.samples() : files.architecture())
        && (children == 0 || Files.exists(files.children()));
  }

  boolean isHeld() {
    return RunFolder.isHeld(root());
  }

  /**
   * How the searches of a comparison are done.
   *
   * @param children how many are trained of each, 0 for none
   * @param changedData whether a run goes on with images that are not its checkpoint's
   * @param ranks of which this process is one
   */
  record How(
      int children, boolean changedData, Console console, StopSignals signals, RankFlags ranks) {}

  /** How the user goes on after a stop. */
  private Continuation continuation() {
    return new Continuation("fbnet compare-strategies --resume " + comparison);
  }

  /**
   * Searches, and trains the best of what was scored.
   *
   * @param arguments of the verb search, for a search that is not begun yet
   * @param children whether any are trained
   */
  void run(String[] arguments, boolean children, How how, ProgressLine progress) {
    boolean begun = Files.exists(root().resolve(RunConfig.FILE));
    try (RunFolder folder = begun ? RunFolder.open(root()) : RunFolder.create(root())) {
      StoredSearch stored = begun ? StoredSearch.of(folder) : StoredSearch.parse(arguments);
      stored.flags.ranks.among(how.ranks);
      RunFiles known = begun ? folder.files() : new RunFiles(comparison);
      try (SearchSession session =
          new SearchSession(stored.flags, Optional.of(known), how.console, progress)) {
        Search search = session.search;
        SearchRun run =
            new SearchRun(
                search, folder, stored.flags, how.console, progress, how.signals, continuation());
        if (!begun) {
          run.begin(stored.resolved(SearchRun.NOT_OF_THE_RUN));
        } else if (!isDone(0)) {
          run.restore(how.changedData);
        }
        if (!isDone(0)) {
          int _ = run.toTheEnd();
        }
        if (children) {
          children(search, folder, stored, how, progress)
              .train(best(search, folder.files().samples(), how.children));
        }
      }
    }
  }

  /**
   * Trains some of the best of what was scored, while one of the ranks holds the finished search.
   *
   * @param some of the children, from 0
   */
  void train(int[] some, How how, ProgressLine progress) {
    RunFolder folder = RunFolder.beside(root());
    StoredSearch stored = StoredSearch.of(folder);
    stored.flags.ranks.among(how.ranks);
    try (SearchSession session =
        new SearchSession(stored.flags, Optional.of(folder.files()), how.console, progress)) {
      List<int[]> choices = best(session.search, folder.files().samples(), how.children);
      children(session.search, folder, stored, how, progress)
          .train(choices, IntStream.of(some).filter(i -> i < choices.size()));
    }
  }

  private Children children(
      Search search, RunFolder folder, StoredSearch stored, How how, ProgressLine progress) {
    // Read for each search: its seed becomes that of the recipe.
    StoredRecipe recipe = StoredRecipe.of(new RunFiles(comparison).recipe());
    recipe.flags().resolve(seed, stored.flags.trainImages);
    recipe.flags().augmentation.resolve(search.data(), how.console::note);
    return new Children(
        search,
        folder,
        recipe.flags(),
        recipe.text(),
        stored.resolved("data") + stored.resolved("device"),
        how.changedData,
        how.console,
        progress,
        how.signals,
        continuation());
  }

  /**
   * Has a table or trainings judge what the strategy proposes.
   *
   * @param known the table, if that is it
   */
  void judge(String[] arguments, Optional<AccuracyTable> known, How how, ProgressLine progress) {
    boolean begun = Files.exists(root().resolve(RunConfig.FILE));
    try (RunFolder folder = begun ? RunFolder.open(root()) : RunFolder.create(root())) {
      StoredSearch stored = begun ? StoredSearch.of(folder) : StoredSearch.parse(arguments);
      stored.flags.ranks.among(how.ranks);
      RunFiles files = begun ? folder.files() : new RunFiles(comparison);
      try (EvaluatedRun run =
          new EvaluatedRun(stored.flags, Optional.of(files), known, how.console, progress)) {
        if (!begun) {
          run.begin(folder, stored.resolved(EvaluatedRun.NOT_OF_THE_RUN));
        }
        run.toTheEnd(
            folder,
            stored.resolved("data") + stored.resolved("device"),
            how.changedData,
            how.console,
            progress,
            how.signals,
            continuation());
      }
    }
  }

  /**
   * What it found by known accuracies, and its regret after each network, in points.
   *
   * @param known the accuracies
   * @param space of the networks
   * @param best the largest mean accuracy within the budget
   */
  ComparedRun regret(AccuracyTable known, SearchSpace space, double best) {
    RunFiles files = new RunFiles(root());
    Course spent = Course.read(files.cost());
    List<Course.Scored> course = new ArrayList<>();
    Score pick = null;
    for (Score score : ProposedSearch.read(files.evaluations(), space)) {
      pick = pick == null || score.accuracy() > pick.accuracy() ? score : pick;
      int number = course.size();
      double macs = spent.macs() > 0 ? spent.scored().get(number).macs() : number + 1;
      double mean = known.entry(pick.architecture().choice()).mean();
      course.add(new Course.Scored(macs, 100 * (best - mean)));
    }
    return new ComparedRun(
        strategy,
        seed,
        spent.macs(),
        spent.seconds(),
        course.size(),
        pick.latencyMs(),
        pick.accuracy(),
        course.getLast().accuracy(),
        course,
        pick.architecture().blocks().stream().map(Block::name).toList());
  }

  /** The best of what was scored, by the same scores and the same objective for all. */
  private static List<int[]> best(Search search, Path file, int count) {
    boolean accuracy = search.objective().latencyLimited();
    List<String> names = search.space().blockNames();
    List<SamplesFile.Sample> scored = new ArrayList<>(SamplesFile.read(file).samples());
    scored.removeIf(SamplesFile.Sample::uniform);
    scored.sort(
        Comparator.comparingDouble(sample -> accuracy ? -sample.accuracy() : sample.loss()));
    return scored.stream()
        .limit(count)
        .map(s -> s.blocks().stream().map(Block::name).mapToInt(names::indexOf).toArray())
        .toList();
  }
}
