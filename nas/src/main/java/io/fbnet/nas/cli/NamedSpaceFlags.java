package io.fbnet.nas.cli;

import io.fbnet.nas.space.SearchSpace;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** A search space by name, and what is changed about it. */
final class NamedSpaceFlags {
  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      defaultValue = "fashion",
      description = "The search space.")
  private String space;

  @Mixin private SpaceFlags changes;

  /** The space with these changes. */
  SearchSpace load() {
    return changes.apply(SearchSpace.load(space));
  }
}
