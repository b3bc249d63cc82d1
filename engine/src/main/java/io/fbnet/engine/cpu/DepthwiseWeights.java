package io.fbnet.engine.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The weight gradient of a 5x5 depthwise convolution, for which oneDNN has no fast kernel. Each
 * thread takes a share of the images and sums into taps of its own; the shares are then added in
 * the order of the threads.
 */
final class DepthwiseWeights implements Kernel {
  private static final int K = 5;

  private final CpuContext context;
  private final ImageLayout x;
  private final ImageLayout y;
  private final int stride;
  private final MemorySegment xm;
  private final MemorySegment dym;
  private final MemorySegment dwm;
  private final float[][] padded;
  private final float[][] sums;
  private final float[][] taps;

  DepthwiseWeights(
      CpuContext context,
      Value x,
      Value dy,
      int stride,
      MemorySegment xm,
      MemorySegment dym,
      MemorySegment dwm) {
    this.context = context;
    this.x = context.layout(x);
    this.y = context.layout(dy);
    this.stride = stride;
    this.xm = xm;
    this.dym = dym;
    this.dwm = dwm;
    int threads = context.team.threads();
    padded = new float[threads][(this.x.height() + K - 1) * paddedWidth() * this.x.lanes()];
    taps = new float[threads][K * K * this.x.lanes()];
    sums = new float[threads][K * K * this.x.paddedChannels()];
  }

  private int paddedWidth() {
    return x.width() + K - 1;
  }

  @Override
  public void launch() {
    for (float[] s : sums) {
      Arrays.fill(s, 0);
    }
    context.parallel(x.batch(), x.bytes() / x.batch() * K * K, this::images);
    int window = K * K;
    for (int c = 0; c < x.channels(); c++) {
      int from = c / x.lanes() * window * x.lanes() + c % x.lanes();
      for (int tap = 0; tap < window; tap++) {
        float total = 0;
        for (float[] s : sums) {
          total += s[from + tap * x.lanes()];
        }
        dwm.setAtIndex(JAVA_FLOAT, (long) c * window + tap, total);
      }
    }
  }

  private void images(int from, int to, int thread) {
    float[] acc = taps[thread];
    for (int block = 0; block < x.blocks(); block++) {
      Arrays.fill(acc, 0);
      for (int n = from; n < to; n++) {
        long row = (long) n * x.blocks() + block;
        pad(row, padded[thread]);
        context.loops.depthwise5Weights(
            padded[thread],
            paddedWidth(),
            dym,
            row * y.rowBytes(),
            y.height(),
            y.width(),
            stride,
            acc);
      }
      System.arraycopy(acc, 0, sums[thread], block * acc.length, acc.length);
    }
  }

  /** Copies a plane into the middle of a frame of zeros two pixels wide. */
  private void pad(long row, float[] frame) {
    int line = x.width() * x.lanes();
    for (int h = 0; h < x.height(); h++) {
      int at = ((h + K / 2) * paddedWidth() + K / 2) * x.lanes();
      long from = row * x.rowBytes() + 4L * h * line;
      MemorySegment.copy(xm, JAVA_FLOAT, from, frame, at, line);
    }
  }
}
