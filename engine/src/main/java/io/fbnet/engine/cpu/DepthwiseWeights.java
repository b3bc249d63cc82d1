package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.Op;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The weight gradient of a 5x5 depthwise convolution, for which oneDNN has no fast kernel. Each
 * thread sums over its images into taps of its own, which are then added in the order of the
 * threads.
 */
final class DepthwiseWeights implements Piece {
  private static final int K = 5;

  private final Loops loops;
  private final ImageLayout x;
  private final ImageLayout y;
  private final int stride;
  private final Images xs;
  private final Images dys;
  private final MemorySegment dw;
  private final float[][] padded;
  private final float[][] sums;

  DepthwiseWeights(PieceMaker maker, Op.ConvolutionBackwardWeights c) {
    loops = maker.context().imageLoops;
    x = maker.context().layout(c.x());
    y = maker.context().layout(c.dy());
    stride = c.stride();
    xs = maker.images().apply(c.x());
    dys = maker.images().apply(c.dy());
    dw = maker.memory().apply(c.dw());
    int threads = maker.chunks().shares();
    padded = new float[threads][(x.height() + K - 1) * paddedWidth() * x.lanes()];
    sums = new float[threads][K * K * x.paddedChannels()];
  }

  private int paddedWidth() {
    return x.width() + K - 1;
  }

  @Override
  public void begin() {
    for (float[] s : sums) {
      Arrays.fill(s, 0);
    }
  }

  @Override
  public void images(int from, int to, int thread) {
    for (int block = 0; block < x.blocks(); block++) {
      for (int n = from; n < to; n++) {
        pad(xs.place(thread), xs.at(n, from) + block * x.rowBytes(), padded[thread]);
        loops.depthwise5Weights(
            padded[thread],
            paddedWidth(),
            dys.place(thread),
            dys.at(n, from) + block * y.rowBytes(),
            y.height(),
            y.width(),
            stride,
            sums[thread],
            block * K * K * x.lanes());
      }
    }
  }

  @Override
  public void finish() {
    int window = K * K;
    for (int c = 0; c < x.channels(); c++) {
      int from = c / x.lanes() * window * x.lanes() + c % x.lanes();
      for (int tap = 0; tap < window; tap++) {
        float total = 0;
        for (float[] s : sums) {
          total += s[from + tap * x.lanes()];
        }
        dw.setAtIndex(JAVA_FLOAT, (long) c * window + tap, total);
      }
    }
  }

  /** Copies a plane into the middle of a frame of zeros two pixels wide. */
  private void pad(MemorySegment from, long at, float[] frame) {
    long line = (long) x.width() * x.lanes() * x.elementBytes();
    for (int h = 0; h < x.height(); h++) {
      int to = ((h + K / 2) * paddedWidth() + K / 2) * x.lanes();
      loops.read(from, at + h * line, line, frame, to);
    }
  }
}
