package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** One image of floats, a channel after the other. It is normalised when it is put back. */
final class FloatCanvas extends Canvas {
  private final Normalisation normalisation;
  private float[] pixels;
  private float[] next;

  FloatCanvas(ImageShape shape, Normalisation normalisation) {
    super(shape);
    this.normalisation = normalisation;
    pixels = new float[shape.elements()];
    next = new float[pixels.length];
  }

  @Override
  void read(MemorySegment images, long at) {
    MemorySegment.copy(images, ValueLayout.JAVA_FLOAT, at, pixels, 0, pixels.length);
  }

  @Override
  void write(MemorySegment images, long at) {
    for (int c = 0; c < channels; c++) {
      double mean = normalisation.mean().get(c);
      double std = normalisation.std().get(c);
      for (int i = c * plane; i < (c + 1) * plane; i++) {
        next[i] = (float) ((pixels[i] - mean) / std);
      }
    }
    MemorySegment.copy(next, 0, images, ValueLayout.JAVA_FLOAT, at, next.length);
  }

  @Override
  void clearNext() {
    Arrays.fill(next, 0);
  }

  @Override
  void copyToNext(int from, int to, int count) {
    System.arraycopy(pixels, from, next, to, count);
  }

  @Override
  void mirror() {
    for (int row = 0; row < pixels.length; row += width) {
      for (int x = 0; x < width; x++) {
        next[row + x] = pixels[row + width - 1 - x];
      }
    }
    swap();
  }

  @Override
  void resized(int top, int left, int rows, int columns) {
    for (int y = 0; y < height; y++) {
      double down = at(y, rows, height);
      int above = top + (int) down;
      int below = Math.min(above + 1, top + rows - 1);
      for (int x = 0; x < width; x++) {
        double across = at(x, columns, width);
        int a = left + (int) across;
        int b = Math.min(a + 1, left + columns - 1);
        double share = across - (int) across;
        for (int c = 0; c < channels; c++) {
          int upper = c * plane + above * width;
          int lower = c * plane + below * width;
          double up = between(pixels[upper + a], pixels[upper + b], share);
          double low = between(pixels[lower + a], pixels[lower + b], share);
          next[c * plane + y * width + x] = (float) between(up, low, down - (int) down);
        }
      }
    }
    swap();
  }

  private static double between(double a, double b, double share) {
    return a + share * (b - a);
  }

  @Override
  void blank(int channel, int from, int to) {
    Arrays.fill(pixels, from, to, normalisation.mean().get(channel));
  }

  @Override
  void swap() {
    float[] done = next;
    next = pixels;
    pixels = done;
  }
}
