package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** One image of floats, a channel after the other. It is normalised when it is put back. */
final class FloatCanvas implements Canvas {
  private final int channels;
  private final int height;
  private final int width;
  private final int plane;
  private final Normalisation normalisation;
  private float[] pixels;
  private float[] next;

  FloatCanvas(ImageShape shape, Normalisation normalisation) {
    channels = shape.channels();
    height = shape.height();
    width = shape.width();
    plane = height * width;
    this.normalisation = normalisation;
    pixels = new float[shape.elements()];
    next = new float[pixels.length];
  }

  @Override
  public void read(MemorySegment images, long at) {
    MemorySegment.copy(images, ValueLayout.JAVA_FLOAT, at, pixels, 0, pixels.length);
  }

  @Override
  public void write(MemorySegment images, long at) {
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
  public void window(int down, int right) {
    Arrays.fill(next, 0);
    int first = Math.clamp(-(long) right, 0, width);
    int end = Math.clamp((long) width - right, first, width);
    for (int c = 0; c < channels && first < end; c++) {
      for (int y = Math.max(0, -down); y < Math.min(height, height - down); y++) {
        int row = c * plane + y * width;
        System.arraycopy(
            pixels, row + down * width + first + right, next, row + first, end - first);
      }
    }
    swap();
  }

  @Override
  public void mirror() {
    for (int row = 0; row < pixels.length; row += width) {
      for (int x = 0; x < width; x++) {
        next[row + x] = pixels[row + width - 1 - x];
      }
    }
    swap();
  }

  @Override
  public void resized(int top, int left, int rows, int columns) {
    for (int y = 0; y < height; y++) {
      double down = PixelCanvas.at(y, rows, height);
      int above = top + (int) down;
      int below = Math.min(above + 1, top + rows - 1);
      for (int x = 0; x < width; x++) {
        double across = PixelCanvas.at(x, columns, width);
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
  public void cutOut(int centreRow, int centreColumn, int side) {
    int top = centreRow - side / 2;
    int left = centreColumn - side / 2;
    int first = Math.max(left, 0);
    int end = Math.min(left + side, width);
    for (int c = 0; c < channels; c++) {
      for (int y = Math.max(top, 0); y < Math.min(top + side, height); y++) {
        int row = c * plane + y * width;
        Arrays.fill(pixels, row + first, row + end, normalisation.mean().get(c));
      }
    }
  }

  private void swap() {
    float[] done = next;
    next = pixels;
    pixels = done;
  }
}
