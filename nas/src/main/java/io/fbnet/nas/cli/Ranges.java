package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.search.SearchSettings;

/** Refuses numbers that a flag does not take (exit code 2). */
final class Ranges {
  private Ranges() {}

  static void atLeast(String flag, int value, int least) {
    if (value < least) {
      throw UserException.usage("%s must be at least %d, but is %d", flag, least, value);
    }
  }

  /** The largest numbers that make sense; beyond them a slip of the finger would run for years. */
  static void epochs(String flag, int value) {
    between(flag, value, 1, 1_000_000);
  }

  static void batch(int value, int least) {
    between("--batch", value, least, 1 << 20);
  }

  static void architectures(String flag, int value) {
    between(flag, value, 1, 100_000);
  }

  static void cropPadding(int value) {
    between("--crop-padding", value, 0, 4096);
  }

  /** The threads that a flag names, or as many as processors. */
  static int threads(Integer threads) {
    int processors = Runtime.getRuntime().availableProcessors();
    if (threads == null) {
      return processors;
    }
    between("--threads", threads, 1, Math.max(1024, processors));
    return threads;
  }

  private static void between(String flag, int value, int least, int most) {
    atLeast(flag, value, least);
    if (value > most) {
      throw UserException.usage("%s must be at most %d, but is %d", flag, most, value);
    }
  }

  static void temperature(String flag, double value) {
    if (!(value >= SearchSettings.LEAST_TAU) || value > Float.MAX_VALUE) {
      throw UserException.usage(
          "%s must be at least %s, but is %s", flag, SearchSettings.LEAST_TAU, value);
    }
  }

  /** A number that a float holds above 0: a smaller learning rate would be no step. */
  static void positive(String flag, double value) {
    if (!((float) value > 0) || Float.isInfinite((float) value)) {
      throw UserException.usage("%s must be above 0 as a 32-bit float, but is %s", flag, value);
    }
  }

  static void notNegative(String flag, double value) {
    if (!(value >= 0) || Float.isInfinite((float) value)) {
      throw UserException.usage("%s must be a 32-bit float from 0 on, but is %s", flag, value);
    }
  }
}
