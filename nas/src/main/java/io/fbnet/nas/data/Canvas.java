package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;

/**
 * One image, a channel after the other, and what augmentations do to where its pixels are. Used by
 * one thread.
 */
abstract sealed class Canvas permits FloatCanvas, PixelCanvas {
  final int channels;
  final int height;
  final int width;

  /** Pixels of a channel. */
  final int plane;

  Canvas(ImageShape shape) {
    channels = shape.channels();
    height = shape.height();
    width = shape.width();
    plane = height * width;
  }

  /** Takes an image from a byte on. */
  abstract void read(MemorySegment images, long at);

  /** Puts it back as a batch has it. */
  abstract void write(MemorySegment images, long at);

  /** Mirrors left to right. */
  abstract void mirror();

  /** Brings a rectangle to the image's size, between centres of pixels by their distance. */
  abstract void resized(int top, int left, int rows, int columns);

  /** Makes the next image black. */
  abstract void clearNext();

  /** Copies some pixels of a row to the next image. */
  abstract void copyToNext(int from, int to, int count);

  /** Takes the next image for this one. */
  abstract void swap();

  /** Gives pixels of a channel what lies where something was cut out. */
  abstract void blank(int channel, int from, int to);

  /** Moves the image up and to the left; black comes in. */
  final void window(int down, int right) {
    clearNext();
    int first = Math.clamp(-(long) right, 0, width);
    int end = Math.clamp((long) width - right, first, width);
    for (int c = 0; c < channels && first < end; c++) {
      for (int y = Math.max(0, -down); y < Math.min(height, height - down); y++) {
        int row = c * plane + y * width;
        copyToNext(row + down * width + first + right, row + first, end - first);
      }
    }
    swap();
  }

  /** Cuts out what of a square lies in the image. */
  final void cutOut(int centreRow, int centreColumn, int side) {
    int top = centreRow - side / 2;
    int left = centreColumn - side / 2;
    int first = Math.max(left, 0);
    int end = Math.min(left + side, width);
    for (int c = 0; c < channels; c++) {
      for (int y = Math.max(top, 0); y < Math.min(top + side, height); y++) {
        int row = c * plane + y * width;
        blank(c, row + first, row + end);
      }
    }
  }

  /** Where in a side of {@code of} pixels the centre of a pixel of a side of {@code to} lies. */
  static double at(int i, int of, int to) {
    return Math.clamp((i + 0.5) * of / to - 0.5, 0, of - 1);
  }
}
