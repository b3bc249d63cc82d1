package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Function;

/**
 * Batch normalisation. Sums run in f32 over a few hundred pixels and in double beyond; variances
 * are taken around the channel's first pixel, so a large mean costs no digits.
 */
final class CpuNorm {
  /** Pixels after which a sum in f32 is added to the one in double. */
  private static final int PIECE = 512;

  private CpuNorm() {}

  /** Sums over pixels and batch, two a channel, in a fixed order. */
  private static final class Moments {
    interface Row {
      void add(long at, int channel, float[] acc);
    }

    private final CpuContext context;
    private final ImageLayout layout;
    private final double[][] partial;
    private final float[][] acc;
    final double[] first;
    final double[] second;

    Moments(CpuContext context, ImageLayout layout) {
      this.context = context;
      this.layout = layout;
      int padded = layout.paddedChannels();
      partial = new double[context.team.threads()][2 * padded];
      acc = new float[context.team.threads()][2 * layout.lanes()];
      first = new double[padded];
      second = new double[padded];
    }

    void sum(Row row) {
      for (double[] p : partial) {
        Arrays.fill(p, 0);
      }
      context.parallel(
          layout.batch(),
          layout.bytes() / layout.batch(),
          (from, to, thread) -> images(from, to, thread, row));
      Arrays.fill(first, 0);
      Arrays.fill(second, 0);
      for (double[] p : partial) {
        for (int c = 0; c < first.length; c++) {
          first[c] += p[c];
          second[c] += p[first.length + c];
        }
      }
    }

    private void images(int from, int to, int thread, Row row) {
      float[] a = acc[thread];
      for (int block = 0; block < layout.blocks(); block++) {
        int pending = 0;
        Arrays.fill(a, 0);
        for (int n = from; n < to; n++) {
          row.add(((long) n * layout.blocks() + block) * layout.rowBytes(), block, a);
          pending += layout.pixels();
          if (pending >= PIECE || n == to - 1) {
            flush(a, partial[thread], block * layout.lanes());
            pending = 0;
          }
        }
      }
    }

    private void flush(float[] a, double[] to, int channel) {
      int lanes = layout.lanes();
      for (int i = 0; i < lanes; i++) {
        to[channel + i] += a[i];
        to[first.length + channel + i] += a[lanes + i];
        a[i] = 0;
        a[lanes + i] = 0;
      }
    }
  }

  static Kernel forward(CpuContext context, Op.BatchNorm bn, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(bn.x());
    int channels = layout.channels();
    int padded = layout.paddedChannels();
    MemorySegment x = m.apply(bn.x());
    MemorySegment y = m.apply(bn.y());
    MemorySegment gamma = m.apply(bn.gamma());
    MemorySegment beta = m.apply(bn.beta());
    MemorySegment mean = m.apply(bn.mean());
    MemorySegment inverse = m.apply(bn.inverseDeviation());
    boolean moves = bn.momentum() != null;
    MemorySegment runningMean = moves ? m.apply(bn.runningMean()) : null;
    MemorySegment runningVariance = moves ? m.apply(bn.runningVariance()) : null;
    MemorySegment momentum = moves ? m.apply(bn.momentum()) : null;
    Moments moments = new Moments(context, layout);
    float[] shift = new float[padded];
    float[] gammas = new float[padded];
    float[] means = new float[padded];
    float[] inverses = new float[padded];
    float[] scales = new float[padded];
    float[] betas = new float[padded];
    float[] running = new float[padded];
    double[] variances = new double[padded];
    double count = (double) layout.batch() * layout.pixels();
    Moments.Row row =
        (at, block, acc) ->
            context.loops.moments(x, at, layout.pixels(), shift, block * layout.lanes(), acc);
    return () -> {
      firstPixels(x, layout, shift);
      moments.sum(row);
      CpuContext.channels(gamma, gammas, channels);
      CpuContext.channels(beta, betas, channels);
      normal(
          moments,
          shift,
          gammas,
          count,
          bn.epsilon(),
          channels,
          means,
          inverses,
          scales,
          variances);
      store(means, mean, channels);
      store(inverses, inverse, channels);
      if (moves) {
        float p = momentum.get(JAVA_FLOAT, 0);
        double unbiased = count > 1 ? count / (count - 1) : 1;
        CpuContext.channels(runningMean, running, channels);
        moveMeans(running, p, means, channels);
        store(running, runningMean, channels);
        CpuContext.channels(runningVariance, running, channels);
        moveVariances(running, p, variances, unbiased, channels);
        store(running, runningVariance, channels);
      }
      apply(context, layout, x, y, means, scales, betas, bn.relu());
    };
  }

  private static void firstPixels(MemorySegment x, ImageLayout layout, float[] shift) {
    int lanes = layout.lanes();
    for (int block = 0; block < layout.blocks(); block++) {
      MemorySegment.copy(x, JAVA_FLOAT, block * layout.rowBytes(), shift, block * lanes, lanes);
    }
  }

  // The loops over channels are methods of their own, over arrays: inside the kernels' lambdas the
  // compiler discarded and rebuilt them without end.

  private static void normal(
      Moments moments,
      float[] shift,
      float[] gammas,
      double count,
      double epsilon,
      int channels,
      float[] means,
      float[] inverses,
      float[] scales,
      double[] variances) {
    for (int c = 0; c < channels; c++) {
      double offset = moments.first[c] / count;
      variances[c] = Math.max(0, moments.second[c] / count - offset * offset);
      double inv = 1 / Math.sqrt(variances[c] + epsilon);
      means[c] = (float) (shift[c] + offset);
      inverses[c] = (float) inv;
      scales[c] = (float) (inv * gammas[c]);
    }
  }

  private static void moveMeans(float[] running, float p, float[] means, int channels) {
    for (int c = 0; c < channels; c++) {
      running[c] = (float) ((1.0 - p) * running[c] + (double) p * means[c]);
    }
  }

  private static void moveVariances(
      float[] running, float p, double[] variances, double unbiased, int channels) {
    for (int c = 0; c < channels; c++) {
      running[c] = (float) ((1.0 - p) * running[c] + p * (variances[c] * unbiased));
    }
  }

  private static void store(float[] from, MemorySegment to, int channels) {
    MemorySegment.copy(from, 0, to, JAVA_FLOAT, 0, channels);
  }

  private static void apply(
      CpuContext context,
      ImageLayout layout,
      MemorySegment x,
      MemorySegment y,
      float[] means,
      float[] scales,
      float[] betas,
      boolean relu) {
    context.parallel(
        layout.rows(),
        layout.rowBytes(),
        (from, to, thread) -> {
          for (int r = from; r < to; r++) {
            context.loops.normalise(
                x,
                y,
                r * layout.rowBytes(),
                layout.pixels(),
                means,
                scales,
                betas,
                r % layout.blocks() * layout.lanes(),
                relu);
          }
        });
  }

  static Kernel inference(
      CpuContext context, Op.BatchNormInference bn, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(bn.x());
    int channels = layout.channels();
    MemorySegment x = m.apply(bn.x());
    MemorySegment y = m.apply(bn.y());
    MemorySegment gamma = m.apply(bn.gamma());
    MemorySegment beta = m.apply(bn.beta());
    MemorySegment mean = m.apply(bn.runningMean());
    MemorySegment variance = m.apply(bn.runningVariance());
    float[] means = new float[layout.paddedChannels()];
    float[] scales = new float[layout.paddedChannels()];
    float[] betas = new float[layout.paddedChannels()];
    return () -> {
      CpuContext.channels(mean, means, channels);
      CpuContext.channels(beta, betas, channels);
      for (int c = 0; c < channels; c++) {
        double inv = 1 / Math.sqrt(variance.getAtIndex(JAVA_FLOAT, c) + (double) bn.epsilon());
        scales[c] = (float) (inv * gamma.getAtIndex(JAVA_FLOAT, c));
      }
      apply(context, layout, x, y, means, scales, betas, bn.relu());
    };
  }

  static Kernel backward(
      CpuContext context, Op.BatchNormBackward bn, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(bn.x());
    int channels = layout.channels();
    int padded = layout.paddedChannels();
    MemorySegment x = m.apply(bn.x());
    MemorySegment dy = m.apply(bn.dy());
    MemorySegment dx = m.apply(bn.dx());
    MemorySegment gamma = m.apply(bn.gamma());
    MemorySegment beta = m.apply(bn.beta());
    MemorySegment mean = m.apply(bn.mean());
    MemorySegment inverse = m.apply(bn.inverseDeviation());
    MemorySegment dgamma = bn.dgamma() == null ? null : m.apply(bn.dgamma());
    MemorySegment dbeta = bn.dbeta() == null ? null : m.apply(bn.dbeta());
    Moments moments = new Moments(context, layout);
    float[] means = new float[padded];
    float[] scales = new float[padded];
    float[] betas = new float[padded];
    float[] gammas = new float[padded];
    float[] inverses = new float[padded];
    float[] dgammas = new float[padded];
    float[] dbetas = new float[padded];
    float[] c0 = new float[padded];
    float[] c1 = new float[padded];
    double count = (double) layout.batch() * layout.pixels();
    Moments.Row row =
        (at, block, acc) ->
            context.loops.backwardMoments(
                x,
                dy,
                at,
                layout.pixels(),
                means,
                scales,
                betas,
                block * layout.lanes(),
                bn.relu(),
                acc);
    CpuContext.Body apply =
        (from, to, thread) -> {
          for (int r = from; r < to; r++) {
            context.loops.backwardNormalise(
                x,
                dy,
                dx,
                r * layout.rowBytes(),
                layout.pixels(),
                means,
                scales,
                betas,
                c0,
                c1,
                r % layout.blocks() * layout.lanes(),
                bn.relu());
          }
        };
    return () -> {
      CpuContext.channels(mean, means, channels);
      CpuContext.channels(beta, betas, channels);
      CpuContext.channels(gamma, gammas, channels);
      CpuContext.channels(inverse, inverses, channels);
      scale(inverses, gammas, scales, channels);
      moments.sum(row);
      coefficients(moments, inverses, count, channels, c0, c1, dgammas, dbetas);
      if (dgamma != null) {
        store(dgammas, dgamma, channels);
      }
      if (dbeta != null) {
        store(dbetas, dbeta, channels);
      }
      context.parallel(layout.rows(), layout.rowBytes(), apply);
    };
  }

  private static void scale(float[] inverses, float[] gammas, float[] scales, int channels) {
    for (int c = 0; c < channels; c++) {
      scales[c] = (float) ((double) inverses[c] * gammas[c]);
    }
  }

  private static void coefficients(
      Moments moments,
      float[] inverses,
      double count,
      int channels,
      float[] c0,
      float[] c1,
      float[] dgammas,
      float[] dbetas) {
    for (int c = 0; c < channels; c++) {
      double inv = inverses[c];
      c0[c] = (float) (moments.first[c] / count);
      c1[c] = (float) (moments.second[c] * inv * inv / count);
      dgammas[c] = (float) (moments.second[c] * inv);
      dbetas[c] = (float) moments.first[c];
    }
  }
}
