package io.fbnet.nas.cli;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/**
 * Mixin that gives a verb {@code --config}: add {@code @Mixin ConfigOption config} and every flag
 * of the verb can be set in a YAML file by its long name. {@link ConfigFile} does the reading
 * before the verb runs.
 */
final class ConfigOption {
  static final String NAME = "--config";

  @Option(
      names = NAME,
      paramLabel = "FILE.yaml",
      description =
          "Reads flags from a YAML file: 'name: value' sets --name. A flag given on the command"
              + " line wins.")
  Path file;
}
