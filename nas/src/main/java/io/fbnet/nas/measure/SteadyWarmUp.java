package io.fbnet.nas.measure;

import io.fbnet.nas.latency.Statistics;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import java.util.function.LongSupplier;

/**
 * Runs something until it takes the same time again and again: Java compiles what runs often step
 * by step, and clocks speed up.
 *
 * @param windows how many in a row must agree
 * @param ratio the largest of their medians by the smallest, at most
 * @param windowMs the least length of a window
 * @param runs how many at once, at least one of them a window
 * @param longestMs after which it ends even if the windows do not agree
 */
public record SteadyWarmUp(int windows, double ratio, double windowMs, int runs, double longestMs) {

  /**
   * Warms up.
   *
   * @param time milliseconds of each of so many runs
   * @param leastMs how long it lasts at least: the first programs of all wait long on a plateau for
   *     Java's last form
   * @param nanoTime the clock
   */
  public void run(IntFunction<double[]> time, double leastMs, LongSupplier nanoTime) {
    long start = nanoTime.getAsLong();
    double[] last = new double[windows];
    for (int window = 0; ; window++) {
      last[window % windows] = windowMedian(time, nanoTime);
      double[] sorted = last.clone();
      Arrays.sort(sorted);
      boolean steady = window + 1 >= windows && sorted[windows - 1] <= ratio * sorted[0];
      double passed = passedMs(start, nanoTime);
      if (steady && passed >= leastMs || passed > longestMs) {
        return;
      }
    }
  }

  private double windowMedian(IntFunction<double[]> time, LongSupplier nanoTime) {
    long start = nanoTime.getAsLong();
    List<Double> window = new ArrayList<>();
    do {
      for (double ms : time.apply(runs)) {
        window.add(ms);
      }
    } while (passedMs(start, nanoTime) < windowMs);
    return Statistics.median(window);
  }

  private static double passedMs(long start, LongSupplier nanoTime) {
    return (nanoTime.getAsLong() - start) / 1e6;
  }
}
