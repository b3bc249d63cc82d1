package io.fbnet.nas.cli;

import io.fbnet.nas.latency.LatencyTable;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet latency show}: one latency table for people. */
@Command(name = "show", description = "Shows a latency table.")
final class LatencyShowCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "TABLE", description = "A JSON file, or the name of a built-in table.")
  private String table;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  @Override
  public Integer call() {
    LatencyTable read = LatencyTable.load(table);
    Console console = new Console(spec);
    if (json) {
      console.print(read.json());
    } else {
      console.print(read.text());
    }
    return 0;
  }
}
