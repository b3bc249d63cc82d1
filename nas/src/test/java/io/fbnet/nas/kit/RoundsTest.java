package io.fbnet.nas.kit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The protocol by a clock that moves only while something runs. */
class RoundsTest {
  private static final Protocol PROTOCOL = new Protocol(3, 3, 1.05, 10, 100, 1000, 20, 2, 50);

  private long now;
  private int open;

  /** Takes {@code ms} a run, and {@code slow} times as long at first, less so with each run. */
  private final class Fake implements Rounds.Timed {
    private final double ms;
    private final int slow;
    private int runs;

    Fake(double ms, int slow) {
      this.ms = ms;
      this.slow = slow;
      open++;
    }

    @Override
    public double[] time(int count) {
      double[] times = new double[count];
      for (int i = 0; i < count; i++) {
        times[i] = ms * (1 + Math.max(0, slow - ++runs));
        now += (long) (times[i] * 1e6);
      }
      return times;
    }

    @Override
    public void close() {
      open--;
    }
  }

  private Map<String, KitResult.Time> time(List<String> names, Rounds.Loader loader) {
    return new Rounds(PROTOCOL, () -> now).time(names, loader, 1, (done, total, what) -> {});
  }

  @Test
  void theMedianIsThatOfTheSteadyState() {
    Map<String, KitResult.Time> times =
        time(List.of("a", "b"), name -> new Fake(name.equals("a") ? 0.5 : 2, 8));
    assertEquals(new KitResult.Time(0.5, 0, 3 * 40), times.get("a"));
    assertEquals(new KitResult.Time(2, 0, 3 * 10), times.get("b"));
    assertEquals(0, open);
  }

  @Test
  void everyRoundHasAnOrderOfItsOwnAndOneFileOpen() {
    List<String> names = List.of("a", "b", "c", "d", "e", "f", "g", "h");
    List<String> order = new ArrayList<>();
    time(
        names,
        name -> {
          assertEquals(0, open);
          order.add(name);
          return new Fake(1, 0);
        });
    assertEquals(24, order.size());
    HashSet<List<String>> rounds = new HashSet<>();
    for (int r = 0; r < 3; r++) {
      List<String> round = order.subList(8 * r, 8 * r + 8);
      assertEquals(new HashSet<>(names), new HashSet<>(round));
      rounds.add(List.copyOf(round));
    }
    assertEquals(3, rounds.size());
  }

  @Test
  void theFirstFileWarmsUpLongest() {
    List<Long> starts = new ArrayList<>();
    time(
        List.of("a", "b"),
        name -> {
          starts.add(now);
          return new Fake(1, 0);
        });
    assertTrue(starts.get(1) - starts.get(0) >= 100e6);
    assertTrue(starts.get(2) - starts.get(1) < 100e6);
  }

  @Test
  void whatNeverSettlesIsTimedAllTheSame() {
    Map<String, KitResult.Time> times = time(List.of("a"), name -> new Fake(0.001, 100_000));
    assertEquals(3 * 2, times.get("a").runs());
  }

  @Test
  void aFailureLeavesNothingOpen() {
    assertThrows(
        IllegalStateException.class,
        () ->
            time(
                List.of("a"),
                name -> {
                  Fake fake = new Fake(1, 0);
                  return new Rounds.Timed() {
                    @Override
                    public double[] time(int runs) {
                      throw new IllegalStateException();
                    }

                    @Override
                    public void close() {
                      fake.close();
                    }
                  };
                }));
    assertEquals(0, open);
  }
}
