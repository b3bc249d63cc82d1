package io.fbnet.nas.report;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The numbers of one quantity over steps, in the order of the log. */
final class Series {
  private static final int FEW = 40;
  private static final int LEAST_IN_BIN = 8;

  private double[] steps = new double[256];
  private double[] values = new double[256];
  private int size;

  /**
   * Neighbouring numbers drawn as one.
   *
   * @param step the mean of their steps
   * @param least the smallest
   * @param mean the mean
   * @param most the largest
   */
  record Bin(double step, double least, double mean, double most) {}

  /** Adds a number; those that are none are left out. */
  void add(double step, double value) {
    if (!Double.isFinite(value)) {
      return;
    }
    if (size == steps.length) {
      steps = Arrays.copyOf(steps, 2 * size);
      values = Arrays.copyOf(values, 2 * size);
    }
    steps[size] = step;
    values[size++] = value;
  }

  /** The numbers in another unit. */
  Series times(double factor) {
    Series scaled = new Series();
    for (int i = 0; i < size; i++) {
      scaled.add(steps[i], values[i] * factor);
    }
    return scaled;
  }

  /** How many numbers it has. */
  int size() {
    return size;
  }

  boolean isEmpty() {
    return size == 0;
  }

  double last() {
    return values[size - 1];
  }

  double firstStep() {
    return steps[0];
  }

  double lastStep() {
    return steps[size - 1];
  }

  /**
   * At most {@code most} bins of as many numbers each, to within one: thinned, not sampled. Few
   * numbers get fewer bins still, since what one batch gives is mostly noise.
   */
  List<Bin> bins(int most) {
    int count = Math.min(Math.min(most, size), Math.max(FEW, size / LEAST_IN_BIN));
    List<Bin> bins = new ArrayList<>(count);
    for (int b = 0; b < count; b++) {
      int from = (int) ((long) size * b / count);
      int to = (int) ((long) size * (b + 1) / count);
      double step = 0;
      double sum = 0;
      double least = Double.POSITIVE_INFINITY;
      double greatest = Double.NEGATIVE_INFINITY;
      for (int i = from; i < to; i++) {
        step += steps[i];
        sum += values[i];
        least = Math.min(least, values[i]);
        greatest = Math.max(greatest, values[i]);
      }
      bins.add(new Bin(step / (to - from), least, sum / (to - from), greatest));
    }
    return bins;
  }
}
