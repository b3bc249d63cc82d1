package io.fbnet.nas.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** Against tables of Student's distribution. */
class PairedTestTest {
  @Test
  void itsNumbersAreThoseOfTables() {
    // Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3).
    PairedTest test = PairedTest.of(new double[] {4, 7, 1}, new double[] {3, 5, -2});
    assertEquals(3, test.pairs());
    assertEquals(2, test.mean(), 1e-12);
    assertEquals(Math.sqrt(12), test.t(), 1e-12);
    assertEquals(0.0741799, test.p(), 1e-7);
    // Two-sided 5% points.
    double[][] table = {{1, 12.7062047}, {2, 4.3026527}, {4, 2.7764451}, {9, 2.2621572}};
    for (double[] row : table) {
      double p = PairedTest.beta(row[0] / 2, 0.5, row[0] / (row[0] + row[1] * row[1]));
      assertEquals(0.05, p, 1e-8, row[0] + " degrees");
    }
    assertEquals(Math.log(24), PairedTest.logGamma(5), 1e-12);
    assertEquals(0.5 * Math.log(Math.PI), PairedTest.logGamma(0.5), 1e-12);
  }

  @Test
  void whatHasNoSpreadHasNoTest() {
    PairedTest equal = PairedTest.of(new double[] {2, 3}, new double[] {1, 2});
    assertEquals(1, equal.mean());
    assertTrue(Double.isNaN(equal.t()) && Double.isNaN(equal.p()));
    assertTrue(Double.isNaN(PairedTest.of(new double[] {2}, new double[] {1}).p()));
  }
}
