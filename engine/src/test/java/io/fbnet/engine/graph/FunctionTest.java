package io.fbnet.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The functions by numbers that others give, and their slopes by finite differences. */
class FunctionTest {
  @ParameterizedTest
  @CsvSource({
    "RELU, -1.5, 0",
    "RELU, 1.5, 1.5",
    "SIGMOID, 0, 0.5",
    "SIGMOID, 1, 0.731058578630005",
    "SIGMOID, -800, 0",
    "HARD_SIGMOID, -3.5, 0",
    "HARD_SIGMOID, 1, 0.666666666666667",
    "HARD_SIGMOID, 4, 1",
    "SWISH, 1, 0.731058578630005",
    "SWISH, -1, -0.268941421369995",
    "SWISH, 0, 0",
    "SWISH, -800, 0",
    "HARD_SWISH, -4, 0",
    "HARD_SWISH, -1, -0.333333333333333",
    "HARD_SWISH, 1, 0.666666666666667",
    "HARD_SWISH, 5, 5",
  })
  void hasTheValue(Op.Function f, double x, double y) {
    assertEquals(y, f.of(x, 0), 1e-14);
  }

  @ParameterizedTest
  @EnumSource(Op.Function.class)
  void slopesAgreeWithFiniteDifferences(Op.Function f) {
    double p = 1.3;
    double step = 1e-6;
    for (double x : new double[] {-4.7, -2.1, -0.6, 0.4, 1.1, 2.9, 3.3, 9}) {
      if (x > 0 || f != Op.Function.POWER) {
        double measured = (f.of(x + step, p) - f.of(x - step, p)) / (2 * step);
        assertEquals(measured, f.slope(x, p), 1e-8, f + " at " + x);
      }
    }
  }
}
