package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.ClassCounts;
import io.fbnet.nas.data.ImageSet;
import java.util.Locale;
import java.util.Set;
import picocli.CommandLine.Option;

/** What is done about classes with many training images and with few. */
final class ClassFlags {
  private static final String WEIGHTS = "class-weights";
  private static final String SAMPLING = "class-sampling";

  /** What one of the flags does. */
  enum Kind {
    NONE,
    BALANCED
  }

  @Option(
      names = "--" + WEIGHTS,
      paramLabel = "KIND",
      defaultValue = "none",
      description =
          "balanced: multiplies each training image's loss by n / (classes * n_c), of n images n_c"
              + " of its class, so that each class counts as much. Or none. Accuracies and scores"
              + " of networks are not weighted.")
  Kind weights;

  @Option(
      names = "--" + SAMPLING,
      paramLabel = "KIND",
      defaultValue = "none",
      description =
          "balanced: an epoch has as many training images of each class, those of rare ones several"
              + " times, and as many in all as without. Or none.")
  Kind sampling;

  /** What the flags say; refuses both at once. */
  ClassBalance balance() {
    if (weights == Kind.BALANCED && sampling == Kind.BALANCED) {
      throw UserException.usage(
          "--class-weights balanced and --class-sampling balanced do not go together: rare classes"
              + " would count twice over; leave one out");
    }
    return weights == Kind.BALANCED
        ? ClassBalance.WEIGHTS
        : sampling == Kind.BALANCED ? ClassBalance.SAMPLING : ClassBalance.NONE;
  }

  /** The flags that say so, as lines of a configuration. */
  static String text(ClassBalance balance) {
    return line(WEIGHTS, balance == ClassBalance.WEIGHTS)
        + line(SAMPLING, balance == ClassBalance.SAMPLING);
  }

  /**
   * Adds to the lines of a configuration what those of older versions lack: they balanced nothing.
   */
  static void fillIn(Set<String> lines) {
    for (String line : text(ClassBalance.NONE).lines().toList()) {
      String key = line.substring(0, line.indexOf(' '));
      if (lines.stream().noneMatch(given -> given.startsWith(key))) {
        lines.add(line);
      }
    }
  }

  private static String line(String flag, boolean balanced) {
    Kind kind = balanced ? Kind.BALANCED : Kind.NONE;
    return flag + ": \"" + kind.toString().toLowerCase(Locale.ROOT) + "\"\n";
  }

  /** Warns of uneven classes about which nothing is done. */
  static void warn(ClassBalance balance, ImageSet set, int[] trained, Console console) {
    if (balance == ClassBalance.NONE) {
      ClassCounts.of(set, trained).unevenness().ifPresent(console::warn);
    }
  }
}
