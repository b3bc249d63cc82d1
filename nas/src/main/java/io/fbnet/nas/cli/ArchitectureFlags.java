package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** An architecture and what is changed about it. */
final class ArchitectureFlags {
  @Parameters(
      paramLabel = "NAME|FILE",
      description =
          "A published network (fbnet-a, fbnet-b, fbnet-c, fbnet-s8, fbnet-iphonex) or a JSON"
              + " file.")
  String architecture;

  @Mixin SpaceFlags space;

  @Option(
      names = "--classes",
      paramLabel = "COUNT",
      description = "Classes to tell apart, instead of the architecture's.")
  Integer classes;

  /** The architecture with these changes. */
  Architecture load() {
    Architecture read = Architecture.load(architecture);
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
