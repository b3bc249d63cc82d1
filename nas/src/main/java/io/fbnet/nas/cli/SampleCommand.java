package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.Search;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine;
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
          + " on where it was stopped."
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
      names = "--train",
      paramLabel = "K",
      description = "Trains the first K of these from scratch, each in RUN/children.")
  private Integer train;

  @Mixin RecipeFlags recipe;
  @Mixin ChangedData changedData;

  /** The run's own configuration, read by the flags it was written from. */
  @Command(name = "search")
  static final class Stored {
    @Mixin SearchFlags flags;
    @Mixin ConfigOption config;
  }

  @Override
  public Integer call() {
    Ranges.architectures("--count", count);
    requireTogether();
    Console console = new Console(spec);
    try (RunFolder folder = RunFolder.open(run)) {
      CommandLine stored = stored(folder);
      SearchFlags flags = ((Stored) stored.getCommand()).flags;
      try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr());
          SearchSession session =
              new SearchSession(flags, Optional.of(folder.files()), console, progress)) {
        Search search = session.search;
        if (!search.restore(folder, changedData.accepted, console::warn)) {
          throw UserException.data(
              "%s has no whole checkpoint: run fbnet search --resume %s first", run, run);
        }
        if (!search.loop().finished()) {
          console.warn(
              "the search is not finished; theta is that of step " + search.loop().stepsDone());
        }
        if (train == null) {
          SampleReport.run(search, folder, count, uniform, console, progress);
          ReportCommand.write(folder.files(), console);
        } else {
          recipe.resolve(flags.seed, flags.trainImages);
          String dataAndDevice = resolved(stored, "data") + resolved(stored, "device");
          new Children(
                  search,
                  folder,
                  recipe,
                  recipeText(),
                  dataAndDevice,
                  changedData.accepted,
                  console,
                  progress)
              .train(train);
        }
      }
    }
    return 0;
  }

  /** Flags of a training say nothing without one, nor those of scores with one. */
  private void requireTogether() {
    List<OptionSpec> given = spec.commandLine().getParseResult().matchedOptions();
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

  /** The lines of a search's configuration that one of its groups of flags makes. */
  private static String resolved(CommandLine stored, String group) {
    CommandSpec flags = stored.getCommandSpec().mixins().get("flags");
    return ConfigFile.resolved(flags.mixins().get(group), List.of());
  }

  private static CommandLine stored(RunFolder folder) {
    CommandLine parser = new CommandLine(new Stored()).setCaseInsensitiveEnumValuesAllowed(true);
    String[] arguments = {ConfigOption.NAME, folder.config().toString()};
    parser.parseArgs(ConfigFile.apply(parser, arguments));
    return parser;
  }
}
