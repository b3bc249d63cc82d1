package io.fbnet.nas.cli;

import picocli.CommandLine.Command;

/** {@code fbnet latency}: everything about latency tables. */
@Command(
    name = "latency",
    description = "Works with latency tables.",
    subcommands = {LatencyShowCommand.class})
final class LatencyCommand {}
