package io.fbnet.engine.cpu;

import java.util.Arrays;

/**
 * Two sums a channel over pixels and batch, in a fixed order: in f32 over a few hundred pixels, in
 * double beyond.
 */
abstract class ChannelSums implements Piece {
  /** Pixels after which a sum in f32 is added to the one in double. */
  private static final int PIECE = 512;

  final ImageLayout layout;
  final double[][] first;
  final double[][] second;
  private final float[][] acc;

  ChannelSums(ImageLayout layout, int threads) {
    this.layout = layout;
    first = new double[threads][layout.paddedChannels()];
    second = new double[threads][layout.paddedChannels()];
    acc = new float[threads][2 * layout.lanes()];
  }

  /** Adds one block of one image: acc[lane] and acc[lanes + lane]. */
  abstract void add(int image, int block, int from, int thread, float[] acc);

  @Override
  public void begin() {
    for (int t = 0; t < first.length; t++) {
      Arrays.fill(first[t], 0);
      Arrays.fill(second[t], 0);
    }
  }

  @Override
  public void images(int from, int to, int thread) {
    float[] a = acc[thread];
    for (int block = 0; block < layout.blocks(); block++) {
      int pending = 0;
      Arrays.fill(a, 0);
      for (int n = from; n < to; n++) {
        add(n, block, from, thread, a);
        pending += layout.pixels();
        if (pending >= PIECE || n == to - 1) {
          flush(a, first[thread], second[thread], block * layout.lanes());
          pending = 0;
        }
      }
    }
  }

  private static void flush(float[] a, double[] first, double[] second, int channel) {
    int lanes = a.length / 2;
    for (int i = 0; i < lanes; i++) {
      first[channel + i] += a[i];
      second[channel + i] += a[lanes + i];
      a[i] = 0;
      a[lanes + i] = 0;
    }
  }
}
