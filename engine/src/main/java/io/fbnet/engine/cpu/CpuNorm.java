package io.fbnet.engine.cpu;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;

/** Batch norms once their statistics are known: one pass over the images. */
final class CpuNorm {
  private CpuNorm() {}

  /** What a norm does to a pixel: (x - mean) * scale + beta. Padded to whole blocks with zeros. */
  static final class Scale {
    final float[] means;
    final float[] scales;
    final float[] betas;
    final float[] inverses;
    private final float[] gammas;
    private final int channels;
    private final MemorySegment gamma;
    private final MemorySegment beta;
    private final MemorySegment mean;
    private final MemorySegment inverse;

    Scale(
        PieceMaker maker, Value gamma, Value beta, Value mean, Value inverse, ImageLayout layout) {
      channels = layout.channels();
      means = new float[layout.paddedChannels()];
      scales = new float[layout.paddedChannels()];
      betas = new float[layout.paddedChannels()];
      inverses = new float[layout.paddedChannels()];
      gammas = new float[layout.paddedChannels()];
      this.gamma = maker.memory().apply(gamma);
      this.beta = maker.memory().apply(beta);
      this.mean = maker.memory().apply(mean);
      this.inverse = maker.memory().apply(inverse);
    }

    /** Takes the numbers as they are now. */
    void read() {
      CpuContext.channels(mean, means, channels);
      CpuContext.channels(beta, betas, channels);
      CpuContext.channels(gamma, gammas, channels);
      CpuContext.channels(inverse, inverses, channels);
      multiply();
    }

    private void multiply() {
      for (int c = 0; c < channels; c++) {
        scales[c] = (float) ((double) inverses[c] * gammas[c]);
      }
    }

    /** Takes the last number for a variance. */
    void readVariances(double epsilon) {
      read();
      for (int c = 0; c < channels; c++) {
        scales[c] = (float) (gammas[c] / Math.sqrt(inverses[c] + epsilon));
      }
    }
  }

  /**
   * What a norm's gradient takes off each pixel's: c0 + (x - mean) * c1. Padded to whole blocks.
   */
  @SuppressWarnings("ArrayRecordComponent") // filled by one piece, read by another
  record Coefficients(float[] c0, float[] c1) {}

  static Piece apply(PieceMaker maker, Op.BatchNormApply bn) {
    ImageLayout layout = maker.context().layout(bn.x());
    Scale scale = new Scale(maker, bn.gamma(), bn.beta(), bn.mean(), bn.inverseDeviation(), layout);
    return new Application(maker, layout, bn.x(), bn.y(), scale, scale::read, bn.relu());
  }

  static Piece inference(PieceMaker maker, Op.BatchNormInference bn) {
    ImageLayout layout = maker.context().layout(bn.x());
    Scale scale =
        new Scale(maker, bn.gamma(), bn.beta(), bn.runningMean(), bn.runningVariance(), layout);
    return new Application(
        maker, layout, bn.x(), bn.y(), scale, () -> scale.readVariances(bn.epsilon()), bn.relu());
  }

  private static final class Application extends Piece.ByBlock {
    private final Loops loops;
    private final Images x;
    private final Images y;
    private final Scale scale;
    private final Runnable read;
    private final boolean relu;

    Application(
        PieceMaker maker,
        ImageLayout layout,
        Value x,
        Value y,
        Scale scale,
        Runnable read,
        boolean relu) {
      super(layout);
      loops = maker.context().imageLoops;
      this.x = maker.images().apply(x);
      this.y = maker.images().apply(y);
      this.scale = scale;
      this.read = read;
      this.relu = relu;
    }

    @Override
    public void begin() {
      // What the stage's own sums leave is read by a later stage: here all numbers are final.
      read.run();
    }

    @Override
    void blocks(int image, int first, int last, int from, int thread) {
      MemorySegment xs = x.place(thread);
      MemorySegment ys = y.place(thread);
      long xAt = x.at(image, from);
      long yAt = y.at(image, from);
      for (int b = first; b < last; b++) {
        loops.normalise(
            xs,
            xAt + b * layout.rowBytes(),
            ys,
            yAt + b * layout.rowBytes(),
            layout.pixels(),
            scale.means,
            scale.scales,
            scale.betas,
            b * layout.lanes(),
            relu);
      }
    }
  }

  static Piece backward(PieceMaker maker, Op.BatchNormBackward bn) {
    CpuContext context = maker.context();
    ImageLayout layout = context.layout(bn.x());
    Scale scale = new Scale(maker, bn.gamma(), bn.beta(), bn.mean(), bn.inverseDeviation(), layout);
    Coefficients coefficients = context.coefficients(bn, layout.paddedChannels());
    Images x = maker.images().apply(bn.x());
    Images dy = maker.images().apply(bn.dy());
    Images dx = maker.images().apply(bn.dx());
    return new Piece.ByBlock(layout) {
      @Override
      public void begin() {
        scale.read();
      }

      @Override
      void blocks(int image, int first, int last, int from, int thread) {
        MemorySegment xs = x.place(thread);
        MemorySegment dys = dy.place(thread);
        MemorySegment dxs = dx.place(thread);
        for (int b = first; b < last; b++) {
          long row = b * layout.rowBytes();
          context.imageLoops.backwardNormalise(
              xs,
              x.at(image, from) + row,
              dys,
              dy.at(image, from) + row,
              dxs,
              dx.at(image, from) + row,
              layout.pixels(),
              scale.means,
              scale.scales,
              scale.betas,
              coefficients.c0(),
              coefficients.c1(),
              b * layout.lanes(),
              bn.relu());
        }
      }
    };
  }
}
