package io.fbnet.nas.latency;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class StatisticsTest {
  private static double[] d(double... values) {
    return values;
  }

  @Test
  void meanRelativeErrorByHand() {
    assertEquals((0.1 + 0.5) / 2, Statistics.meanRelativeError(d(11, 1), d(10, 2)), 1e-15);
    assertThrows(IllegalArgumentException.class, () -> Statistics.meanRelativeError(d(1), d(0)));
    assertThrows(IllegalArgumentException.class, () -> Statistics.meanRelativeError(d(), d()));
    assertThrows(IllegalArgumentException.class, () -> Statistics.meanRelativeError(d(1, 2), d(1)));
  }

  @Test
  void kendallTauByHand() {
    assertEquals(1, Statistics.kendallTau(d(1, 2, 3), d(10, 20, 30)));
    assertEquals(-1, Statistics.kendallTau(d(1, 2, 3), d(3, 2, 1)));
    // Pairs: 5 concordant, 1 discordant of 6.
    assertEquals(4.0 / 6, Statistics.kendallTau(d(1, 2, 3, 4), d(1, 2, 4, 3)), 1e-15);
    // One tie in x: pairs untied in x 5, in y 6; concordant 5.
    assertEquals(5 / Math.sqrt(30), Statistics.kendallTau(d(1, 1, 2, 3), d(1, 2, 3, 4)), 1e-15);
    // The example of scipy.stats.kendalltau's documentation.
    assertEquals(
        -0.47140452079103173, Statistics.kendallTau(d(12, 2, 1, 12, 2), d(1, 4, 7, 1, 0)), 1e-15);
    assertTrue(Double.isNaN(Statistics.kendallTau(d(1, 1), d(1, 2))));
    assertThrows(IllegalArgumentException.class, () -> Statistics.kendallTau(d(1), d(1)));
  }

  @Test
  void quantilesByHand() {
    assertEquals(3, Statistics.median(d(5, 1, 3)));
    assertEquals(2.5, Statistics.median(d(4, 1, 2, 3)));
    assertEquals(7, Statistics.median(d(7)));
    // 1..5: quartiles 2 and 4; 1..4: 1.75 and 3.25.
    assertEquals(2, Statistics.interquartileRange(d(5, 4, 3, 2, 1)));
    assertEquals(1.5, Statistics.interquartileRange(d(1, 2, 3, 4)));
    assertEquals(2.0 / 3, Statistics.relativeSpread(d(5, 4, 3, 2, 1)), 1e-15);
    assertEquals(0, Statistics.interquartileRange(d(9)));
    assertThrows(IllegalArgumentException.class, () -> Statistics.median(d()));
    assertThrows(IllegalArgumentException.class, () -> Statistics.quantile(d(1), 1.5));
  }
}
