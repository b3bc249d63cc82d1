package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankMeans;
import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A batch norm's mean and variance. Each thread sums around the first pixel it meets, so a large
 * mean costs no digits; the threads' variances are then combined around the common mean.
 */
final class NormStatistics extends ChannelSums {
  private final Op.BatchNorm bn;
  private final CpuContext context;
  private final Communicator ranks;
  private final Images x;
  private final MemorySegment mean;
  private final MemorySegment inverse;
  private final MemorySegment runningMean;
  private final MemorySegment runningVariance;
  private final MemorySegment momentum;
  private final float[][] shift;
  private final int[] seen;
  private final double[] means;
  private final double[] variances;
  private final float[] numbers;

  NormStatistics(PieceMaker maker, Op.BatchNorm bn) {
    super(maker.context().layout(bn.x()), maker.chunks().shares());
    this.bn = bn;
    context = maker.context();
    ranks = bn.overRanks() ? context.backend.communicator() : Communicator.alone();
    x = maker.images().apply(bn.x());
    mean = maker.memory().apply(bn.mean());
    inverse = maker.memory().apply(bn.inverseDeviation());
    boolean moves = bn.momentum() != null;
    runningMean = moves ? maker.memory().apply(bn.runningMean()) : null;
    runningVariance = moves ? maker.memory().apply(bn.runningVariance()) : null;
    momentum = moves ? maker.memory().apply(bn.momentum()) : null;
    shift = new float[first.length][layout.paddedChannels()];
    seen = new int[first.length];
    means = new double[layout.channels()];
    variances = new double[layout.channels()];
    numbers = new float[layout.channels()];
  }

  @Override
  public void begin() {
    super.begin();
    Arrays.fill(seen, 0);
  }

  @Override
  public void images(int from, int to, int thread) {
    if (seen[thread] == 0) {
      int lanes = layout.lanes();
      long pixel = (long) lanes * layout.elementBytes();
      for (int block = 0; block < layout.blocks(); block++) {
        long at = x.at(from, from) + block * layout.rowBytes();
        context.imageLoops.read(x.place(thread), at, pixel, shift[thread], block * lanes);
      }
    }
    seen[thread] += to - from;
    super.images(from, to, thread);
  }

  @Override
  void add(int image, int block, int from, int thread, float[] acc) {
    context.imageLoops.moments(
        x.place(thread),
        x.at(image, from) + block * layout.rowBytes(),
        layout.pixels(),
        shift[thread],
        block * layout.lanes(),
        acc);
  }

  @Override
  public void finish() {
    combineMeans();
    RankMeans.of(ranks, means);
    combineVariances();
    RankMeans.of(ranks, variances);
    long count = (long) layout.batch() * layout.pixels() * ranks.size();
    if (momentum != null) {
      float p = momentum.get(JAVA_FLOAT, 0);
      move(runningMean, p, means, 1);
      move(runningVariance, p, variances, count > 1 ? (double) count / (count - 1) : 1);
    }
    store(means, mean);
    for (int c = 0; c < variances.length; c++) {
      variances[c] = 1 / Math.sqrt(variances[c] + bn.epsilon());
    }
    store(variances, inverse);
  }

  // The loops over channels are methods of their own, over arrays: inside the larger method the
  // compiler discarded and rebuilt them without end.

  private void combineMeans() {
    Arrays.fill(means, 0);
    for (int t = 0; t < seen.length; t++) {
      double pixels = (double) seen[t] * layout.pixels();
      for (int c = 0; c < means.length; c++) {
        means[c] += pixels * shift[t][c] + first[t][c];
      }
    }
    double count = (double) layout.batch() * layout.pixels();
    for (int c = 0; c < means.length; c++) {
      means[c] /= count;
    }
  }

  private void combineVariances() {
    Arrays.fill(variances, 0);
    for (int t = 0; t < seen.length; t++) {
      double pixels = (double) seen[t] * layout.pixels();
      for (int c = 0; c < variances.length; c++) {
        double offset = first[t][c] / pixels;
        double apart = shift[t][c] + offset - means[c];
        variances[c] += Math.max(0, second[t][c] - first[t][c] * offset) + pixels * apart * apart;
      }
    }
    double count = (double) layout.batch() * layout.pixels();
    for (int c = 0; c < variances.length; c++) {
      variances[c] /= count;
    }
  }

  private void move(MemorySegment running, float p, double[] by, double factor) {
    MemorySegment.copy(running, JAVA_FLOAT, 0, numbers, 0, numbers.length);
    for (int c = 0; c < numbers.length; c++) {
      numbers[c] = (float) ((1.0 - p) * numbers[c] + p * ((float) by[c] * factor));
    }
    MemorySegment.copy(numbers, 0, running, JAVA_FLOAT, 0, numbers.length);
  }

  private void store(double[] from, MemorySegment to) {
    for (int c = 0; c < numbers.length; c++) {
      numbers[c] = (float) from[c];
    }
    MemorySegment.copy(numbers, 0, to, JAVA_FLOAT, 0, numbers.length);
  }
}
