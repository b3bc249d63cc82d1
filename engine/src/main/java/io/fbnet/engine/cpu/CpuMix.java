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

  /** A sum of values that are no images in blocks: gradients of parameters used twice. */
  static Kernel plainSum(Op.Sum s, Function<Value, MemorySegment> m) {
    MemorySegment[] xs = s.xs().stream().map(m).toArray(MemorySegment[]::new);
    MemorySegment y = m.apply(s.y());
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

  static Piece sum(PieceMaker maker, Op.Sum s) {
    float[] ones = new float[s.xs().size()];
    Arrays.fill(ones, 1);
    return new Combination(maker, s.xs(), s.y(), ones, 1, () -> {});
  }

  static Piece weightedSum(PieceMaker maker, Op.WeightedSum w) {
    MemorySegment coefficients = maker.memory().apply(w.m());
    int rows = w.m().shape().get(0);
    float[] weights = new float[rows * w.xs().size()];
    return new Combination(
        maker,
        w.xs(),
        w.y(),
        weights,
        rows,
        () -> MemorySegment.copy(coefficients, JAVA_FLOAT, 0, weights, 0, weights.length));
  }

  /** y = the sum of weighted xs, with one row of weights for all images or one each. */
  private static final class Combination extends Piece.ByBlock {
    private final Loops loops;
    private final Images[] xs;
    private final Images y;
    private final float[] weights;
    private final int rows;
    private final Runnable read;
    private final MemorySegment[][] places;
    private final long[][] offsets;

    Combination(
        PieceMaker maker, List<Value> xs, Value y, float[] weights, int rows, Runnable read) {
      super(maker.context().layout(y));
      loops = maker.context().imageLoops;
      this.xs = xs.stream().map(maker.images()).toArray(Images[]::new);
      this.y = maker.images().apply(y);
      this.weights = weights;
      this.rows = rows;
      this.read = read;
      int threads = maker.context().team.threads();
      places = new MemorySegment[threads][this.xs.length];
      offsets = new long[threads][this.xs.length];
    }

    @Override
    public void begin() {
      read.run();
    }

    @Override
    void blocks(int image, int first, int last, int from, int thread) {
      long row = first * layout.rowBytes();
      for (int k = 0; k < xs.length; k++) {
        places[thread][k] = xs[k].place(thread);
        offsets[thread][k] = xs[k].at(image, from) + row;
      }
      loops.weightedSum(
          places[thread],
          offsets[thread],
          weights,
          rows == 1 ? 0 : image * xs.length,
          y.place(thread),
          y.at(image, from) + row,
          (last - first) * layout.rowBytes());
    }
  }

  static Piece backwardInput(PieceMaker maker, Op.WeightedSumBackwardInput w) {
    MemorySegment coefficients = maker.memory().apply(w.m());
    Images dy = maker.images().apply(w.dy());
    Images dx = maker.images().apply(w.dx());
    boolean perImage = w.m().shape().get(0) != 1;
    long candidates = w.m().shape().get(1);
    Loops loops = maker.context().imageLoops;
    return new Piece.ByBlock(maker.context().layout(w.dy())) {
      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        long row = perImage ? image : 0;
        float weight = coefficients.getAtIndex(JAVA_FLOAT, row * candidates + w.k());
        loops.scale(
            dy.place(thread),
            dy.at(image, from) + first * layout.rowBytes(),
            weight,
            dx.place(thread),
            dx.at(image, from) + first * layout.rowBytes(),
            (last - first) * layout.rowBytes());
      }
    };
  }

  static Piece backwardCoefficients(PieceMaker maker, Op.WeightedSumBackwardCoefficients w) {
    return new Piece() {
      private final Loops loops = maker.context().imageLoops;
      private final Images[] xs = w.xs().stream().map(maker.images()).toArray(Images[]::new);
      private final Images dy = maker.images().apply(w.dy());
      private final MemorySegment dm = maker.memory().apply(w.dm());
      private final int batch = w.dy().shape().get(0);
      private final int rows = w.dm().shape().get(0);
      // One sum an image and candidate, then added in the order of images: the same for any number
      // of threads.
      private final double[] sums = new double[batch * xs.length];
      private final float[][] scratch = new float[maker.chunks().shares()][loops.lanes()];

      @Override
      public void images(int from, int to, int thread) {
        for (int n = from; n < to; n++) {
          for (int k = 0; k < xs.length; k++) {
            sums[n * xs.length + k] =
                loops.dot(
                    xs[k].place(thread),
                    xs[k].at(n, from),
                    dy.place(thread),
                    dy.at(n, from),
                    dy.bytes,
                    scratch[thread]);
          }
        }
      }

      @Override
      public void finish() {
        for (int row = 0; row < rows; row++) {
          for (int k = 0; k < xs.length; k++) {
            double total = sums[row * xs.length + k];
            for (int n = 1; rows == 1 && n < batch; n++) {
              total += sums[n * xs.length + k];
            }
            dm.setAtIndex(JAVA_FLOAT, (long) row * xs.length + k, (float) total);
          }
        }
      }
    };
  }
}
