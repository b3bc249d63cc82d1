package io.fbnet.nas.cli;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.data.ClassCounts;
import io.fbnet.nas.data.DataCheck;
import io.fbnet.nas.data.Problem;
import io.fbnet.nas.space.SearchSpace;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet data check}: reads every image and names what is wrong. */
@Command(
    name = "check",
    description =
        "Reads a data set to its last byte and names every truncated, corrupt or unreadable file,"
            + " label out of range and empty class. Exit code 3 if there is one. Warns of uneven"
            + " classes.")
final class DataCheckCommand implements Callable<Integer> {
  private static final int MOST_SHOWN = 50;

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin DataFlags data;

  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      defaultValue = "fashion",
      description = "The search space whose image size the data must serve.")
  private String space;

  @Option(names = "--threads", paramLabel = "N", description = "Decoding threads.")
  private Integer threads;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    SearchSpace searched = SearchSpace.load(space);
    int workers = Ranges.threads(threads);
    DataCheck.Report report =
        DataCheck.run(data.options(searched, Preset.of(searched).data(), 1, workers, console));
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < report.classes().size(); i++) {
      text.append(
          String.format(
              Locale.ROOT,
              "%-20s %8d train %8d test%n",
              report.classes().get(i),
              i < report.trainCounts().size() ? report.trainCounts().get(i) : 0,
              i < report.testCounts().size() ? report.testCounts().get(i) : 0));
    }
    for (Problem problem : report.problems().stream().limit(MOST_SHOWN).toList()) {
      text.append(problem).append('\n');
    }
    if (report.problems().size() > MOST_SHOWN) {
      text.append(
          String.format(Locale.ROOT, "... and %d more%n", report.problems().size() - MOST_SHOWN));
    }
    text.append(
        report.problems().isEmpty()
            ? "no problem found\n"
            : String.format(
                Locale.ROOT,
                "%d problem%s found%n",
                report.problems().size(),
                report.problems().size() == 1 ? "" : "s"));
    console.print(text.toString());
    if (report.classes().size() == report.trainCounts().size()) {
      new ClassCounts(report.classes(), report.trainCounts()).unevenness().ifPresent(console::warn);
    }
    return report.problems().isEmpty() ? ExitCode.OK.code() : ExitCode.DATA_OR_CONFIGURATION.code();
  }
}
