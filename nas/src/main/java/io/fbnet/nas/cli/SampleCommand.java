package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.search.Selection;
import io.fbnet.nas.strategy.Strategy;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet sample RUN}: draws architectures from a finished or stopped search. */
@Command(
    name = "sample",
    description = {
      "Draws architectures from a run's theta, scores them with the supernet's weights on the"
          + " theta split, and writes the best as architecture.json.",
      "",
      "With --train K it trains K of them from scratch instead, on the training images without"
          + " the theta split, keeps the one that is best on that split (by accuracy where the run"
          + " limits latency, else by the loss), and writes it as"
          + " architecture.json and model.safetensors. The flags of 'fbnet train' say how. It goes"
          + " on where it was stopped. Under mpirun the processes share them out: each trains whole"
          + " networks by itself."
    })
final class SampleCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "RUN", description = "The folder of a run.")
  private Path run;

  @Option(
      names = "--count",
      paramLabel = "K",
      defaultValue = "6",
      description = "How many to score: theta's most likely one, the others drawn, none twice.")
  private int count;

  @Option(
      names = "--uniform",
      description =
          "Scores as many drawn uniformly among all architectures within the budget, independently"
              + " of theta's draws, and compares best with best and mean with mean.")
  private boolean uniform;

  @Option(
      names = "--evolve",
      paramLabel = "N",
      description =
          "Scores N networks that ageing evolution proposes within the budget, instead of draws"
              + " from theta. It goes on where it was stopped.")
  private Integer evolve;

  @Option(
      names = "--train",
      paramLabel = "K",
      description = "Trains the first K of these from scratch, each in RUN/children.")
  private Integer train;

  @Mixin RecipeFlags recipe;
  @Mixin ChangedData changedData;

  /** Not flags here: no step is shared. */
  private final RankFlags ranks = new RankFlags();

  @Override
  public Integer call() {
    Ranges.architectures("--count", count);
    requireTogether();
    if (train == null) {
      RankFlags.requireOneProcess("sample without --train");
    }
    return ranks.byJobs(spec, this::sample);
  }

  private int sample(Console console) {
    try (RunFolder folder = ranks.folder(() -> RunFolder.open(run))) {
      StoredSearch stored = StoredSearch.of(folder);
      SearchFlags flags = stored.flags;
      flags.ranks.among(ranks);
      flags.device.divideThreads(ranks.ranks(), console);
      EvaluatorChoice judged = flags.strategy.evaluator();
      if (judged.kind() != EvaluatorChoice.Kind.SUPERNET) {
        throw UserException.usage(
            "%s was judged by --evaluator %s, so it has no supernet to draw from or to score with",
            run, judged.text());
      }
      Console own = ranks.jobConsole(spec);
      try (ProgressLine progress = ranks.progress(spec);
          SearchSession session =
              new SearchSession(flags, Optional.of(folder.files()), own, progress)) {
        Search search = session.search;
        if (!search.restore(folder, changedData.accepted, console::warn)) {
          throw UserException.data(
              "%s has no whole checkpoint: run fbnet search --resume %s first", run, run);
        }
        if (!search.loop().finished()) {
          console.warn(
              "the search is not finished; theta is that of step " + search.loop().stepsDone());
        }
        if (evolve == null && train == null && !search.strategy().trainsTheta()) {
          throw UserException.usage(
              "%s was searched by %s, which trains no theta to draw from: take --evolve N for"
                  + " networks that an evolution proposes, or --train K for trainings of the best"
                  + " that were scored",
              run, search.strategy().name());
        }
        if (evolve != null) {
          evolve(search, folder, console, progress);
        } else if (train == null) {
          SampleReport.run(search, folder, count, uniform, console, progress);
          ReportCommand.write(folder.files(), console);
        } else {
          train(search, folder, stored, own, progress);
        }
      }
    }
    return 0;
  }

  private void train(
      Search search,
      RunFolder folder,
      StoredSearch stored,
      Console console,
      ProgressLine progress) {
    recipe.resolve(stored.flags.seed, stored.flags.trainImages);
    recipe.augmentation.resolve(search.data(), console::note);
    Continuation again = new Continuation("the same 'fbnet sample " + run + " --train' command");
    Children children =
        new Children(
            search,
            folder,
            recipe,
            recipeText(),
            stored.resolved("data") + stored.resolved("device"),
            changedData.accepted,
            console,
            progress,
            ranks.signals(console),
            again);
    if (ranks.leads()) {
      children.warnOfClasses();
    }
    List<int[]> choices =
        search.strategy().trainsTheta()
            ? search.draw(train)
            : search.best(folder.files().evaluations(), train);
    ranks.deal(
        () -> Children.left(folder.root(), choices.size()),
        again,
        some -> children.train(choices, some));
    ranks.apart(
        again,
        () -> {
          if (ranks.leads()) {
            children.train(choices);
          }
        });
  }

  private void evolve(Search search, RunFolder folder, Console console, ProgressLine progress) {
    StopSignals signals = ranks.signals(console);
    Optional<Selection> found =
        search.explore(
            Strategy.EVOLUTION.word(),
            Strategy.EVOLUTION::begin,
            folder.files().evolution(),
            evolve,
            new SearchObserver() {
              @Override
              public void evaluated(int done, int total, ArchitectureScorer.Score score) {
                progress.update(done, total, "scoring architectures");
              }

              @Override
              public boolean stopRequested() {
                return signals.received() != null;
              }
            });
    progress.close();
    if (found.isEmpty()) {
      throw new UserException(
          signals.received(), "stopped; the same command goes on where this one was");
    }
    SampleReport.write(search, folder, found.get(), console);
    ReportCommand.write(folder.files(), console);
  }

  /** Flags of a training say nothing without one, nor those of scores with one. */
  private void requireTogether() {
    List<OptionSpec> given = spec.commandLine().getParseResult().matchedOptions();
    if (evolve != null) {
      Ranges.architectures("--evolve", evolve);
      for (OptionSpec option : given) {
        if (List.of("--count", "--uniform", "--train").contains(option.longestName())) {
          throw UserException.usage("--evolve and %s do not go together", option.longestName());
        }
      }
    }
    if (train == null) {
      List<OptionSpec> ofRecipe = spec.mixins().get("recipe").options();
      given.stream()
          .filter(option -> ofRecipe.stream().anyMatch(o -> o.names()[0].equals(option.names()[0])))
          .findFirst()
          .ifPresent(
              option -> {
                throw UserException.usage("%s needs --train K", option.longestName());
              });
      return;
    }
    Ranges.architectures("--train", train);
    for (OptionSpec option : given) {
      if (option.longestName().equals("--count") || option.longestName().equals("--uniform")) {
        throw UserException.usage("%s and --train do not go together", option.longestName());
      }
    }
  }

  private String recipeText() {
    return ConfigFile.resolved(spec.mixins().get("recipe"), List.of());
  }
}
