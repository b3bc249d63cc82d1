package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.report.Report;
import io.fbnet.nas.run.RunFiles;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet report RUN}: a run, finished or not, or several side by side, as one HTML page. */
@Command(
    name = "report",
    description =
        "Writes a run as one HTML page that needs no network: theta over epochs, losses and"
            + " latency, the network found, accuracy against latency. The run may be going on. Of"
            + " several finished searches the page compares what they took and found.")
final class ReportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(
      paramLabel = "RUN",
      arity = "1..*",
      description = "The folder of a run; of several to compare them.")
  private List<Path> runs;

  @Option(
      names = "--out",
      paramLabel = "FILE.html",
      description =
          "Where to write it. Default: RUN/report.html; of several runs it must be named.")
  private Path out;

  @Override
  public Integer call() {
    if (runs.size() > 1 && out == null) {
      throw UserException.usage(
          "--out is missing: say where the page of %d runs is to be written", runs.size());
    }
    Path target = out == null ? new RunFiles(runs.getFirst()).report() : out;
    if (runs.size() > 1) {
      Report.compare(runs, target);
    } else {
      Report.write(runs.getFirst(), target);
    }
    new Console(spec).print(target + "\n");
    return 0;
  }

  /** Writes the page that belongs to a run's folder, at the end of another verb, and says so. */
  static void write(RunFiles files, Console console) {
    Report.write(files.root(), files.report());
    console.print(String.format(Locale.ROOT, "  report in %s%n", files.report()));
  }
}
