package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;

/** Refuses numbers that a flag does not take (exit code 2). */
final class Ranges {
  private Ranges() {}

  static void atLeast(String flag, int value, int least) {
    if (value < least) {
      throw UserException.usage("%s must be at least %d, but is %d", flag, least, value);
    }
  }

  static void positive(String flag, double value) {
    if (!(value > 0) || Double.isInfinite(value)) {
      throw UserException.usage("%s must be above 0, but is %s", flag, value);
    }
  }

  static void notNegative(String flag, double value) {
    if (!(value >= 0) || Double.isInfinite(value)) {
      throw UserException.usage("%s must not be negative, but is %s", flag, value);
    }
  }
}
