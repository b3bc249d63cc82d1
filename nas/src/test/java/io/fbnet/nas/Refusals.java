package io.fbnet.nas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** Checks that a wrong input ends in one clear sentence and the documented exit code. */
public final class Refusals {
  private Refusals() {}

  /** Runs {@code action}, which must be refused with exit code 3 and words that stand in it. */
  public static String data(Executable action, String... words) {
    return refused(ExitCode.DATA_OR_CONFIGURATION, action, words);
  }

  /** Runs {@code action}, which must be refused with this exit code and words that stand in it. */
  public static String refused(ExitCode code, Executable action, String... words) {
    UserException e = assertThrows(UserException.class, action);
    assertEquals(code, e.exitCode(), e.getMessage());
    for (String word : words) {
      assertTrue(e.getMessage().contains(word), "no '" + word + "' in: " + e.getMessage());
    }
    assertFalse(e.getMessage().contains("\n"), "more than one line: " + e.getMessage());
    return e.getMessage();
  }
}
