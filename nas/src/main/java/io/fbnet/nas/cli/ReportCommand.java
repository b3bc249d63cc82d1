package io.fbnet.nas.cli;

import io.fbnet.nas.report.Report;
import io.fbnet.nas.run.RunFiles;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet report RUN}: a run, finished or not, as one HTML page. */
@Command(
    name = "report",
    description =
        "Writes a run as one HTML page that needs no network: theta over epochs, losses and"
            + " latency, the network found, accuracy against latency. The run may be going on.")
final class ReportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "RUN", description = "The folder of a run.")
  private Path run;

  @Option(
      names = "--out",
      paramLabel = "FILE.html",
      description = "Where to write it. Default: RUN/report.html.")
  private Path out;

  @Override
  public Integer call() {
    Path target = out == null ? new RunFiles(run).report() : out;
    Report.write(run, target);
    new Console(spec).print(target + "\n");
    return 0;
  }

  /** Writes the page that belongs to a run's folder, at the end of another verb, and says so. */
  static void write(RunFiles files, Console console) {
    Report.write(files.root(), files.report());
    console.print(String.format(Locale.ROOT, "  report in %s%n", files.report()));
  }
}
