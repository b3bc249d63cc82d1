package io.fbnet.nas.cli;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Description;
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

  @Parameters(
      paramLabel = "NAME|FILE",
      description =
          "A published network (fbnet-a, fbnet-b, fbnet-c, fbnet-s8, fbnet-iphonex) or a JSON"
              + " file.")
  private String architecture;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A latency table, built in or a JSON file, to predict the latency with.")
  private String lut;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    Architecture network = Architecture.load(architecture);
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
    }
    return 0;
  }
}
