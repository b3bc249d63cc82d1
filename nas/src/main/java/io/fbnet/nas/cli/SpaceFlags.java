package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.space.SearchSpace.SkipRule;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/** Changes to a search space, or to the one of an architecture. */
final class SpaceFlags {
  @Option(
      names = "--width",
      paramLabel = "FACTOR",
      description =
          "Multiplies every width (stem, stages, head); the results are rounded to multiples of 8.")
  Double width;

  @Option(
      names = "--resolution",
      paramLabel = "PIXELS",
      description = "Rows and columns of the images, instead of the space's.")
  Integer resolution;

  @Option(
      names = "--head",
      paramLabel = "CHANNELS",
      description = "Channels of the last 1x1 convolution, instead of the space's; not multiplied.")
  Integer head;

  @Option(
      names = "--always-pw",
      negatable = true,
      fallbackValue = "true",
      description =
          "Whether the first 1x1 convolution of a block stands even at expansion 1, as in the"
              + " paper.")
  Boolean alwaysPw;

  @Option(
      names = "--skips",
      description =
          "Where skip may be chosen: everywhere, or not_first, which leaves out the first layer of"
              + " each stage.")
  SkipRule skips;

  /** The space with these changes. */
  SearchSpace apply(SearchSpace space) {
    if (width != null && !(width > 0 && width <= 16)) {
      throw UserException.usage("--width must lie above 0 and be at most 16, but is %s", width);
    }
    SearchSpace changed = space;
    if (width != null) {
      SearchSpace from = changed;
      changed = checked("--width", () -> from.withWidths(width));
    }
    if (resolution != null) {
      SearchSpace from = changed;
      changed = checked("--resolution", () -> from.withResolution(resolution));
    }
    if (head != null) {
      SearchSpace from = changed;
      changed = checked("--head", () -> from.withHead(head));
    }
    if (alwaysPw != null) {
      changed = changed.withAlwaysPw(alwaysPw);
    }
    if (skips != null) {
      SearchSpace from = changed;
      changed = checked("--skips", () -> from.withSkips(skips));
    }
    return changed;
  }

  private static SearchSpace checked(String flag, Supplier<SearchSpace> change) {
    try {
      return change.get();
    } catch (IllegalArgumentException e) {
      throw UserException.usage("%s cannot be applied: %s", flag, e.getMessage());
    }
  }
}
