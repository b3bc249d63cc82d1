package io.fbnet.nas.cli;

import picocli.CommandLine.Command;

/** {@code fbnet data}: everything about images. */
@Command(
    name = "data",
    description = "Works with data sets.",
    subcommands = {DataCheckCommand.class})
final class DataCommand {}
