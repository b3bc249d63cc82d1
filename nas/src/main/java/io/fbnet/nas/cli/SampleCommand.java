package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.RunFolder;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet sample RUN}: draws architectures from a finished or stopped search. */
@Command(
    name = "sample",
    description =
        "Draws architectures from a run's theta, scores them with the supernet's weights on the"
            + " theta split, and writes the best as architecture.json.")
final class SampleCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "RUN", description = "The folder of a run.")
  private Path run;

  @Option(
      names = "--count",
      paramLabel = "K",
      defaultValue = "6",
      description = "How many to draw.")
  private int count;

  @Option(
      names = "--uniform",
      description =
          "Scores as many drawn uniformly, among those no faster than the best, for comparison.")
  private boolean uniform;

  /** The run's own configuration, read by the flags it was written from. */
  @Command(name = "search")
  static final class Stored {
    @Mixin SearchFlags flags;
    @Mixin ConfigOption config;
  }

  @Override
  public Integer call() {
    if (count < 1) {
      throw UserException.usage("--count must be at least 1, but is %d", count);
    }
    Console console = new Console(spec);
    try (RunFolder folder = RunFolder.open(run)) {
      SearchFlags flags = storedFlags(folder);
      LatencyTable table = LatencyTable.load(folder.latency().toString());
      try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr());
          SearchSession session = new SearchSession(flags, table, console, progress)) {
        Checkpoints.Found found =
            folder
                .checkpoints(Checkpoints.LEAST_KEPT)
                .newestValid(console::warn)
                .orElseThrow(
                    () ->
                        UserException.data(
                            "%s has no whole checkpoint: run fbnet search --resume %s first",
                            run, run));
        session.loop.restore(found);
        if (!session.loop.finished()) {
          console.warn(
              "the search is not finished; theta is that of step " + found.manifest().step());
        }
        SampleReport.run(session, folder, count, uniform, console, progress);
        ReportCommand.write(folder.files(), console);
      }
    }
    return 0;
  }

  private static SearchFlags storedFlags(RunFolder folder) {
    Stored stored = new Stored();
    CommandLine parser = new CommandLine(stored).setCaseInsensitiveEnumValuesAllowed(true);
    String[] arguments = {ConfigOption.NAME, folder.config().toString()};
    parser.parseArgs(ConfigFile.apply(parser, arguments));
    return stored.flags;
  }
}
