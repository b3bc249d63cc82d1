package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Sums in a range, against all networks one by one. */
class SumRangeTest {
  private final SumRange range = Synthetic.range();

  private static final int[][] INSIDE =
      Arrays.stream(Synthetic.all()).filter(Synthetic::inside).toArray(int[][]::new);

  @Test
  void itKnowsWhatIsInside() {
    for (int[] choice : Synthetic.all()) {
      assertEquals(Synthetic.inside(choice), range.met(choice), Arrays.toString(choice));
    }
    assertEquals(INSIDE.length, range.size());
    assertTrue(INSIDE.length > 200 && INSIDE.length < Synthetic.all().length / 2);
  }

  @Test
  void aPrefixMayTakeWhatSomeNetworkInsideHas() {
    for (int[] prefix : Synthetic.all()) {
      for (int layer = 0; layer < prefix.length && reachable(prefix, layer); layer++) {
        boolean[] may = new boolean[Synthetic.COSTS[layer].length];
        for (int[] one : INSIDE) {
          may[one[layer]] |= Arrays.equals(one, 0, layer, prefix, 0, layer);
        }
        assertArrayEquals(may, range.mayTake(prefix, layer));
      }
    }
  }

  private static boolean reachable(int[] prefix, int layers) {
    return Arrays.stream(INSIDE).anyMatch(c -> Arrays.equals(c, 0, layers, prefix, 0, layers));
  }

  @Test
  void drawsAreUniformAndRepeatable() {
    Map<List<Integer>, Integer> counts = new HashMap<>();
    long seed = 20;
    int each = 200;
    int draws = each * INSIDE.length;
    for (int i = 0; i < draws; i++) {
      int[] choice = range.uniform(seed, i);
      assertTrue(Synthetic.inside(choice));
      counts.merge(Arrays.stream(choice).boxed().toList(), 1, Integer::sum);
    }
    assertEquals(INSIDE.length, counts.size());
    double chi = counts.values().stream().mapToDouble(n -> Math.pow(n - each, 2) / each).sum();
    double freedom = INSIDE.length - 1;
    assertTrue(
        Math.abs(chi - freedom) < 4 * Math.sqrt(2 * freedom), "seed " + seed + ": chi2 " + chi);
    assertArrayEquals(range.uniform(seed, 77), range.uniform(seed, 77));
  }

  @Test
  void anEmptyRangeIsRefused() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new SumRange(Synthetic.COSTS, Synthetic.allowed(), 73, 80));
    assertEquals("no network costs from 73 to 80", e.getMessage());
  }
}
