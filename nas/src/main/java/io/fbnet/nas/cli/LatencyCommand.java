package io.fbnet.nas.cli;

import picocli.CommandLine.Command;

/** {@code fbnet latency}: everything about latency tables. */
@Command(
    name = "latency",
    description = "Works with latency tables.",
    subcommands = {
      LatencyListCommand.class,
      LatencyMeasureCommand.class,
      LatencyShowCommand.class,
      LatencyVerifyCommand.class,
      LatencyKitCommand.class,
      LatencyImportCommand.class,
      LatencyExportCommand.class
    })
final class LatencyCommand {}
