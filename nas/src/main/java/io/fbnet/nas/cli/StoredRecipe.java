package io.fbnet.nas.cli;

import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** How networks are trained, by a file of the flags of {@code fbnet train}. */
@Command(name = "train")
final class StoredRecipe {
  @Mixin RecipeFlags recipe;
  @Mixin ConfigOption config;

  private CommandLine parser;

  private StoredRecipe() {}

  /** What a file says; the flags' defaults where there is none. */
  static StoredRecipe of(Path file) {
    StoredRecipe stored = new StoredRecipe();
    stored.parser = new CommandLine(stored).setCaseInsensitiveEnumValuesAllowed(true);
    String[] arguments =
        file == null ? new String[0] : new String[] {ConfigOption.NAME, file.toString()};
    stored.parser.parseArgs(ConfigFile.apply(stored.parser, arguments));
    return stored;
  }

  RecipeFlags flags() {
    return recipe;
  }

  /** All flags that have a value, as a configuration. */
  String text() {
    return ConfigFile.resolved(parser.getCommandSpec().mixins().get("recipe"), List.of());
  }
}
