package io.fbnet.nas.cli;

import io.fbnet.nas.run.RunFolder;
import java.util.List;
import java.util.Set;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;

/** The flags of a search outside its verb, such as those of a run's own configuration. */
@Command(name = "search")
final class StoredSearch {
  @Mixin SearchFlags flags;
  @Mixin ConfigOption config;

  private CommandLine parser;

  private StoredSearch() {}

  /** Those with which the run in a folder was begun. */
  static StoredSearch of(RunFolder folder) {
    return parse(ConfigOption.NAME, folder.config().toString());
  }

  /** Those that arguments of the verb search make. */
  static StoredSearch parse(String... arguments) {
    StoredSearch stored = new StoredSearch();
    stored.parser = new CommandLine(stored).setCaseInsensitiveEnumValuesAllowed(true);
    stored.parser.parseArgs(ConfigFile.apply(stored.parser, arguments));
    return stored;
  }

  /** All as a configuration, but those named. */
  String resolved(Set<String> except) {
    return ConfigFile.resolved(parser.getCommandSpec(), except);
  }

  /** The lines of the configuration that one of the groups of flags makes. */
  String resolved(String group) {
    CommandSpec all = parser.getCommandSpec().mixins().get("flags");
    return ConfigFile.resolved(all.mixins().get(group), List.of());
  }
}
