package io.fbnet.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The limit of a minute is no measurement: it ends a test whose threads wait for each other. */
@Timeout(60)
class ThreadTeamTest {
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 5})
  void everyShareRunsExactlyOnceInThousandsOfTinyTasks(int threads) {
    try (ThreadTeam team = new ThreadTeam(threads, () -> {})) {
      AtomicIntegerArray counts = new AtomicIntegerArray(threads);
      int tasks = 5_000;
      for (int task = 1; task <= tasks; task++) {
        team.run(counts::incrementAndGet);
        for (int share = 0; share < threads; share++) {
          assertEquals(task, counts.get(share), "share " + share + " of task " + task);
        }
      }
    }
  }

  @Test
  void whatSharesWroteIsSeenByTheCallerAndByTheNextTask() {
    int threads = 3;
    try (ThreadTeam team = new ThreadTeam(threads, () -> {})) {
      long[] plain = new long[threads * 64];
      for (int task = 1; task <= 2_000; task++) {
        // Each share reads what another wrote a task before.
        long[] before = plain.clone();
        team.run(s -> plain[s * 64] = before[(s + 1) % threads * 64] + s);
        for (int s = 0; s < threads; s++) {
          assertEquals(before[(s + 1) % threads * 64] + s, plain[s * 64]);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2})
  void anExceptionSurfacesAndTheTeamSurvives(int broken) {
    try (ThreadTeam team = new ThreadTeam(3, () -> {})) {
      AtomicIntegerArray counts = new AtomicIntegerArray(3);
      RuntimeException cause = new IllegalArgumentException("share " + broken);
      for (int round = 1; round <= 50; round++) {
        IllegalStateException thrown =
            assertThrows(
                IllegalStateException.class,
                () ->
                    team.run(
                        s -> {
                          counts.incrementAndGet(s);
                          if (s == broken) {
                            throw cause;
                          }
                        }));
        assertSame(cause, thrown.getCause());
        for (int s = 0; s < 3; s++) {
          assertEquals(2 * round - 1, counts.get(s));
        }
        team.run(counts::incrementAndGet);
      }
    }
  }

  @Test
  void aTeamOfOneThrowsWhatItsTaskThrows() {
    try (ThreadTeam team = new ThreadTeam(1, () -> {})) {
      assertThrows(
          RuntimeException.class,
          () ->
              team.run(
                  s -> {
                    throw new IllegalArgumentException("share " + s);
                  }));
    }
  }

  @Test
  void closingEndsTheHelpersWhetherAsleepOrAwake() {
    Set<Thread> before = Thread.getAllStackTraces().keySet();
    ThreadTeam team = new ThreadTeam(4, () -> {});
    List<Thread> helpers = new ArrayList<>(Thread.getAllStackTraces().keySet());
    helpers.removeAll(before);
    helpers.removeIf(t -> !t.getName().startsWith("fbnet-cpu-"));
    assertEquals(3, helpers.size());
    team.run(s -> {});
    team.close();
    team.close();
    for (Thread helper : helpers) {
      assertFalse(helper.isAlive());
    }
  }

  @Test
  void sharesOfRowsCoverThemWithoutGapOrOverlap() {
    for (int n : new int[] {0, 1, 2, 7, 100, Integer.MAX_VALUE}) {
      for (int shares : new int[] {1, 2, 3, 64}) {
        assertEquals(0, ThreadTeam.from(n, 0, shares));
        assertEquals(n, ThreadTeam.from(n, shares, shares));
        for (int s = 0; s < shares; s++) {
          int size = ThreadTeam.from(n, s + 1, shares) - ThreadTeam.from(n, s, shares);
          assertTrue(size == n / shares || size == n / shares + 1, n + " in " + shares);
        }
      }
    }
  }
}
