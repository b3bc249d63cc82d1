package io.fbnet.engine.backend;

import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Waits for other ranks by asking again and again: at first without pause, since asking may be what
 * moves an exchange on, then with sleeps, so that a rank that waits for a slow one leaves it the
 * processor.
 */
// Yielding decides only how long a wait burns a core, never what is computed.
@SuppressWarnings("ThreadPriorityCheck")
public final class RankWait {
  /** How long it asks without a sleep, and how long it then sleeps at most. */
  private static final long EAGER_NANOS = 5_000_000;

  private static final long LONGEST_SLEEP_NANOS = 500_000;

  private RankWait() {}

  /**
   * {@return whether it was done in time}
   *
   * @param done asked until it says so
   * @param patience how long that may take, as of the moment
   */
  public static boolean until(BooleanSupplier done, Supplier<Duration> patience) {
    Objects.requireNonNull(done, "nothing to wait for");
    Objects.requireNonNull(patience, "no time to wait");
    long begin = System.nanoTime();
    while (!done.getAsBoolean()) {
      long waited = System.nanoTime() - begin;
      if (waited > patience.get().toNanos()) {
        return false;
      }
      if (waited < EAGER_NANOS) {
        Thread.yield();
      } else {
        LockSupport.parkNanos(Math.min(waited / 64, LONGEST_SLEEP_NANOS));
      }
    }
    return true;
  }
}
