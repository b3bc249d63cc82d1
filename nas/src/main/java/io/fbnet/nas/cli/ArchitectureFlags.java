package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What is changed about an architecture. */
final class ArchitectureFlags {
  /** What names one on a command line. */
  static final String LABEL = "NAME|FILE";

  static final String DESCRIPTION =
      "A published network (fbnet-a, fbnet-b, fbnet-c, fbnet-s8, fbnet-iphonex) or a JSON file.";

  @Mixin SpaceFlags space;

  @Option(
      names = "--classes",
      paramLabel = "COUNT",
      description = "Classes to tell apart, instead of the architecture's.")
  Integer classes;

  /** An architecture with these changes. */
  Architecture changed(Architecture read) {
    SearchSpace changed = space.apply(read.space());
    if (classes != null) {
      try {
        changed = changed.withClasses(classes);
      } catch (IllegalArgumentException e) {
        throw UserException.usage("--classes cannot be applied: %s", e.getMessage());
      }
    }
    try {
      return new Architecture(read.name(), changed, read.blocks());
    } catch (IllegalArgumentException e) {
      throw UserException.usage("--skips cannot be applied: %s", e.getMessage());
    }
  }
}
