package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.IntUnaryOperator;

/**
 * One image of bytes, a channel after the other, and what augmentations do to it. Results are
 * rounded to bytes after each operation, and are the same on every machine. Used by one thread.
 */
final class PixelCanvas extends Canvas {
  /** Weights of red, green and blue in brightness, in thousandths (ITU-R BT.601). */
  private static final int RED = 299;

  private static final int GREEN = 587;
  private static final int BLUE = 114;

  private final byte[] background;
  private byte[] pixels;
  private byte[] next;

  /**
   * A canvas for images of a shape.
   *
   * @param background one byte a channel: what lies where an image was moved or cut away
   */
  PixelCanvas(ImageShape shape, byte[] background) {
    super(shape);
    this.background = background.clone();
    pixels = new byte[shape.elements()];
    next = new byte[pixels.length];
  }

  /**
   * A canvas that is black or, with a normalisation, of its mean colour where an image was moved or
   * cut away.
   */
  PixelCanvas(ImageShape shape, Optional<Normalisation> normalisation) {
    this(shape, new byte[shape.channels()]);
    for (int c = 0; c < channels && normalisation.isPresent(); c++) {
      double mean = 255 * normalisation.get().mean().get(c);
      background[c] = (byte) Math.clamp(Math.round(mean), 0, 255);
    }
  }

  @Override
  void read(MemorySegment images, long at) {
    MemorySegment.copy(images, JAVA_BYTE, at, pixels, 0, pixels.length);
  }

  @Override
  void write(MemorySegment images, long at) {
    MemorySegment.copy(pixels, 0, images, JAVA_BYTE, at, pixels.length);
  }

  int width() {
    return width;
  }

  int height() {
    return height;
  }

  @Override
  void clearNext() {
    Arrays.fill(next, (byte) 0);
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
    int[] from = new int[width];
    float[] share = new float[width];
    for (int x = 0; x < width; x++) {
      double at = at(x, columns, width);
      from[x] = left + (int) at;
      share[x] = (float) (at - (int) at);
    }
    for (int y = 0; y < height; y++) {
      double at = at(y, rows, height);
      int above = top + (int) at;
      int below = Math.min(above + 1, top + rows - 1);
      float down = (float) (at - (int) at);
      for (int c = 0; c < channels; c++) {
        int upper = c * plane + above * width;
        int lower = c * plane + below * width;
        int to = c * plane + y * width;
        for (int x = 0; x < width; x++) {
          int a = from[x];
          int b = Math.min(a + 1, left + columns - 1);
          float up = between(pixels[upper + a] & 255, pixels[upper + b] & 255, share[x]);
          float low = between(pixels[lower + a] & 255, pixels[lower + b] & 255, share[x]);
          next[to + x] = (byte) (between(up, low, down) + 0.5f);
        }
      }
    }
    swap();
  }

  private static float between(float a, float b, float share) {
    return a + share * (b - a);
  }

  /**
   * Takes for each pixel at (x, y) from the middle the nearest one to (xx x + xy y + dx, yx x + yy
   * y + dy).
   */
  void affine(double xx, double xy, double yx, double yy, double dx, double dy) {
    double middleX = (width - 1) / 2.0;
    double middleY = (height - 1) / 2.0;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        double right = x - middleX;
        double down = y - middleY;
        long column = Math.round(xx * right + xy * down + dx + middleX);
        long row = Math.round(yx * right + yy * down + dy + middleY);
        boolean inside = column >= 0 && column < width && row >= 0 && row < height;
        int from = inside ? (int) (row * width + column) : 0;
        for (int c = 0; c < channels; c++) {
          next[c * plane + y * width + x] = inside ? pixels[c * plane + from] : background[c];
        }
      }
    }
    swap();
  }

  void brightness(double factor) {
    replace(v -> clamp(factor * v));
  }

  /** Moves every value away from the mean brightness, or towards it. */
  void contrast(double factor) {
    long sum = 0;
    for (int i = 0; i < plane; i++) {
      sum += brightnessOf(i);
    }
    double mean = Math.round((double) sum / plane);
    replace(v -> clamp(mean + factor * (v - mean)));
  }

  /** Moves every pixel away from its own grey, or towards it. */
  void saturation(double factor) {
    if (channels != 3) {
      return;
    }
    for (int i = 0; i < plane; i++) {
      double grey = brightnessOf(i);
      for (int c = 0; c < 3; c++) {
        int at = c * plane + i;
        pixels[at] = (byte) clamp(grey + factor * ((pixels[at] & 255) - grey));
      }
    }
  }

  /**
   * Moves every inner pixel away from the mean of the nine around it, its own counted five times.
   */
  void sharpness(double factor) {
    System.arraycopy(pixels, 0, next, 0, pixels.length);
    for (int c = 0; c < channels; c++) {
      for (int y = 1; y < height - 1; y++) {
        for (int x = 1; x < width - 1; x++) {
          int at = c * plane + y * width + x;
          int sum = 4 * (pixels[at] & 255);
          for (int row = at - width; row <= at + width; row += width) {
            sum += (pixels[row - 1] & 255) + (pixels[row] & 255) + (pixels[row + 1] & 255);
          }
          double smooth = Math.round(sum / 13.0);
          next[at] = (byte) clamp(smooth + factor * ((pixels[at] & 255) - smooth));
        }
      }
    }
    swap();
  }

  /** Keeps so many of a value's upper bits. */
  void posterise(int bits) {
    int mask = 255 << 8 - bits & 255;
    replace(v -> v & mask);
  }

  /** Inverts values that are as large as a threshold. */
  void solarise(double threshold) {
    replace(v -> v >= threshold ? 255 - v : v);
  }

  /** Spreads each channel's values from 0 to 255. */
  void stretch() {
    for (int c = 0; c < channels; c++) {
      int[] counts = counts(c);
      int low = 0;
      int high = 255;
      while (counts[low] == 0) {
        low++;
      }
      while (counts[high] == 0) {
        high--;
      }
      if (high > low) {
        int least = low;
        double scale = 255.0 / (high - low);
        replace(c, v -> clamp((v - least) * scale));
      }
    }
  }

  /** Gives each channel's values about equal counts, as Pillow's {@code ImageOps.equalize} does. */
  void equalise() {
    for (int c = 0; c < channels; c++) {
      int[] counts = counts(c);
      int last = 255;
      while (counts[last] == 0) {
        last--;
      }
      int step = (plane - counts[last]) / 255;
      if (step > 0) {
        int[] becomes = new int[256];
        int below = step / 2;
        for (int v = 0; v < 256; v++) {
          becomes[v] = Math.min(below / step, 255);
          below += counts[v];
        }
        replace(c, v -> becomes[v]);
      }
    }
  }

  @Override
  void blank(int channel, int from, int to) {
    Arrays.fill(pixels, from, to, background[channel]);
  }

  private int brightnessOf(int i) {
    return channels == 3
        ? ((pixels[i] & 255) * RED
                + (pixels[plane + i] & 255) * GREEN
                + (pixels[2 * plane + i] & 255) * BLUE
                + 500)
            / 1000
        : pixels[i] & 255;
  }

  private int[] counts(int channel) {
    int[] counts = new int[256];
    for (int i = channel * plane; i < (channel + 1) * plane; i++) {
      counts[pixels[i] & 255]++;
    }
    return counts;
  }

  private void replace(IntUnaryOperator value) {
    replace(0, channels, value);
  }

  private void replace(int channel, IntUnaryOperator value) {
    replace(channel, channel + 1, value);
  }

  private void replace(int fromChannel, int toChannel, IntUnaryOperator value) {
    byte[] table = new byte[256];
    for (int v = 0; v < table.length; v++) {
      table[v] = (byte) value.applyAsInt(v);
    }
    for (int i = fromChannel * plane; i < toChannel * plane; i++) {
      pixels[i] = table[pixels[i] & 255];
    }
  }

  private static int clamp(double value) {
    return (int) Math.clamp(value + 0.5, 0, 255);
  }

  @Override
  void swap() {
    byte[] done = next;
    next = pixels;
    pixels = done;
  }
}
