package io.fbnet.engine.backend;

import java.math.BigDecimal;
import java.time.Duration;
import java.util.Locale;

/**
 * Another process of the same training is gone, has failed, or does not answer; or processes were
 * started together but have no library by which to meet.
 */
public final class RankFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * Says what happened, in one sentence.
   *
   * @param message names the rank where it is known
   * @param cause what the library reported, null where nothing did
   */
  public RankFailure(String message, Throwable cause) {
    super(message, cause);
  }

  /**
   * {@return what one of several ranks says}
   *
   * @param message what happened
   * @param ranks of which this is one
   * @param cause what the library reported, null where nothing did
   */
  public static RankFailure of(String message, Communicator ranks, Throwable cause) {
    return new RankFailure(
        String.format(
            Locale.ROOT, "%s (this is rank %d of %d)", message, ranks.rank(), ranks.size()),
        cause);
  }

  /**
   * {@return that the others have not answered}
   *
   * @param what was asked of them
   * @param waited for how long
   * @param ranks of which this is one
   */
  public static RankFailure noAnswer(String what, Duration waited, Communicator ranks) {
    return of(
        String.format(
            Locale.ROOT,
            "no answer from other ranks for %s s in %s: one of them is gone or stuck",
            // As 60, or 1.5.
            BigDecimal.valueOf(waited.toMillis(), 3).stripTrailingZeros().toPlainString(),
            what),
        ranks,
        null);
  }
}
