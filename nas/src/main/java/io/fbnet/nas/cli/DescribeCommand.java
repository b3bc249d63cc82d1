package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.network.Published;
import io.fbnet.nas.space.Architecture;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet describe}: layers, multiply-adds, parameters and latency of an architecture. */
@Command(
    name = "describe",
    description = "Shows the layers, multiply-adds, parameters and latency of an architecture.")
final class DescribeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = ArchitectureFlags.LABEL, description = ArchitectureFlags.DESCRIPTION)
  private String architecture;

  @Mixin ArchitectureFlags changes;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A latency table, built in or a JSON file, to predict the latency with.")
  private String lut;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  @Option(
      names = "--compare",
      description =
          "Sets a published network's counts beside the paper's, and says why they differ.")
  private boolean compare;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    Architecture network = changes.changed(Architecture.load(architecture));
    Published published =
        !compare
            ? null
            : Published.of(network.name())
                .orElseThrow(
                    () ->
                        UserException.usage(
                            "--compare needs a published network (%s), not '%s'",
                            String.join(", ", Architecture.builtIns()), architecture));
    Description description = Description.of(network);
    if (lut != null) {
      LatencyTable table = LatencyTable.load(lut);
      table.requireFits(network.space(), console::warn);
      description = description.withLatency(table.latencyOf(network));
    }
    if (json) {
      console.print(description.json());
    } else {
      console.print(description.text());
      if (published != null) {
        console.print(published.compare(network));
      }
    }
    return 0;
  }
}
