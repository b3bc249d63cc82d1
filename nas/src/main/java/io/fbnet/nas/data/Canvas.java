package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;

/** One image and what augmentations do to where its pixels are. Used by one thread. */
sealed interface Canvas permits FloatCanvas, PixelCanvas {
  /** Takes an image from a byte on. */
  void read(MemorySegment images, long at);

  /** Puts it back as a batch has it. */
  void write(MemorySegment images, long at);

  /** Moves the image up and to the left; black comes in. */
  void window(int down, int right);

  /** Mirrors left to right. */
  void mirror();

  /** Brings a rectangle to the image's size, between centres of pixels by their distance. */
  void resized(int top, int left, int rows, int columns);

  /** Cuts out what of a square lies in the image. */
  void cutOut(int centreRow, int centreColumn, int side);
}
