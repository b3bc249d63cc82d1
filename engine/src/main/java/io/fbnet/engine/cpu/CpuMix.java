package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** The weighted block sum, its gradients, and plain sums: one pass over memory each. */
final class CpuMix {
  private CpuMix() {}

  private static MemorySegment[] segments(
      List<Value> values, Function<Value, MemorySegment> memory) {
    return values.stream().map(memory).toArray(MemorySegment[]::new);
  }

  static Kernel sum(CpuContext context, Op.Sum s, Function<Value, MemorySegment> m) {
    MemorySegment[] xs = segments(s.xs(), m);
    MemorySegment y = m.apply(s.y());
    float[] ones = new float[xs.length];
    Arrays.fill(ones, 1);
    long unit = 4L * context.loops.lanes();
    if (y.byteSize() % unit != 0) {
      return () -> {
        for (long i = 0; i < s.y().shape().elements(); i++) {
          float total = 0;
          for (MemorySegment x : xs) {
            total += x.getAtIndex(JAVA_FLOAT, i);
          }
          y.setAtIndex(JAVA_FLOAT, i, total);
        }
      };
    }
    int units = Math.toIntExact(y.byteSize() / unit);
    CpuContext.Body body =
        (from, to, thread) ->
            context.loops.weightedSum(xs, ones, 0, y, from * unit, (to - from) * unit);
    return () -> context.parallel(units, unit, body);
  }

  /** Adds the other shares to the first, in order. */
  static Runnable addShares(CpuContext context, MemorySegment[] shares, long bytes) {
    float[] ones = new float[shares.length];
    Arrays.fill(ones, 1);
    long unit = 4L * context.loops.lanes();
    int units = Math.toIntExact(bytes / unit);
    CpuContext.Body body =
        (from, to, thread) ->
            context.loops.weightedSum(shares, ones, 0, shares[0], from * unit, (to - from) * unit);
    return () -> {
      context.parallel(units, unit, body);
      for (long o = units * unit; o < bytes; o += Float.BYTES) {
        float total = 0;
        for (MemorySegment share : shares) {
          total += share.get(JAVA_FLOAT, o);
        }
        shares[0].set(JAVA_FLOAT, o, total);
      }
    };
  }

  /** Runs over images: all at once where one row of coefficients serves the whole batch. */
  private static CpuContext.Body byCoefficientRow(
      ImageLayout layout, int coefficientRows, RowBody body) {
    return (from, to, thread) -> {
      if (coefficientRows == 1) {
        body.at(0, from * layout.rowBytes(), (to - from) * layout.rowBytes());
        return;
      }
      for (int r = from; r < to; r++) {
        body.at(r / layout.blocks(), r * layout.rowBytes(), layout.rowBytes());
      }
    };
  }

  private interface RowBody {
    void at(int coefficientRow, long at, long bytes);
  }

  static Kernel weightedSum(
      CpuContext context, Op.WeightedSum w, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(w.y());
    MemorySegment[] xs = segments(w.xs(), m);
    MemorySegment coefficients = m.apply(w.m());
    MemorySegment y = m.apply(w.y());
    int rows = w.m().shape().get(0);
    float[] weights = new float[rows * xs.length];
    CpuContext.Body body =
        byCoefficientRow(
            layout,
            rows,
            (row, at, bytes) ->
                context.loops.weightedSum(xs, weights, row * xs.length, y, at, bytes));
    return () -> {
      MemorySegment.copy(coefficients, JAVA_FLOAT, 0, weights, 0, weights.length);
      context.parallel(layout.rows(), layout.rowBytes(), body);
    };
  }

  static Kernel backwardInput(
      CpuContext context, Op.WeightedSumBackwardInput w, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(w.dy());
    MemorySegment coefficients = m.apply(w.m());
    MemorySegment dy = m.apply(w.dy());
    MemorySegment dx = m.apply(w.dx());
    int candidates = w.m().shape().get(1);
    CpuContext.Body body =
        byCoefficientRow(
            layout,
            w.m().shape().get(0),
            (row, at, bytes) -> {
              float weight = coefficients.getAtIndex(JAVA_FLOAT, (long) row * candidates + w.k());
              context.loops.scale(dy, weight, dx, at, bytes);
            });
    return () -> context.parallel(layout.rows(), layout.rowBytes(), body);
  }

  static Kernel backwardCoefficients(
      CpuContext context, Op.WeightedSumBackwardCoefficients w, Function<Value, MemorySegment> m) {
    ImageLayout layout = context.layout(w.dy());
    MemorySegment[] xs = segments(w.xs(), m);
    MemorySegment dy = m.apply(w.dy());
    MemorySegment dm = m.apply(w.dm());
    boolean perImage = w.dm().shape().get(0) != 1;
    int candidates = xs.length;
    // One sum an image and candidate, then added in the order of images: the same for any number
    // of threads.
    double[] sums = new double[layout.batch() * candidates];
    long imageBytes = layout.blocks() * layout.rowBytes();
    float[][] scratch = new float[context.team.threads()][layout.lanes()];
    CpuContext.Body body =
        (from, to, thread) -> {
          for (int n = from; n < to; n++) {
            for (int k = 0; k < candidates; k++) {
              sums[n * candidates + k] =
                  context.loops.dot(xs[k], dy, n * imageBytes, imageBytes, scratch[thread]);
            }
          }
        };
    return () -> {
      context.parallel(layout.batch(), layout.bytes() / layout.batch(), body);
      int rows = perImage ? layout.batch() : 1;
      for (int row = 0; row < rows; row++) {
        for (int k = 0; k < candidates; k++) {
          double total = sums[row * candidates + k];
          for (int n = 1; !perImage && n < layout.batch(); n++) {
            total += sums[n * candidates + k];
          }
          dm.setAtIndex(JAVA_FLOAT, (long) row * candidates + k, (float) total);
        }
      }
    };
  }
}
