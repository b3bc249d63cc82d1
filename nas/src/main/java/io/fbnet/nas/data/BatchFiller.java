package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Turns image numbers into a batch of bytes and the windows that are cut out of them. One Philox
 * draw for (seed, stream, epoch, image) gives both the image's place in the epoch (word 0) and its
 * augmentation (words 1 to 3), so that neither depends on batches, workers or where a run was
 * resumed. Used by one thread.
 */
final class BatchFiller {
  private final ImageSet set;
  private final Augmentation augmentation;
  private final int stream;
  private final Philox philox;

  BatchFiller(ImageSet set, Augmentation augmentation, long seed, int stream) {
    this.set = set;
    this.augmentation = augmentation;
    this.stream = stream;
    philox = new Philox(seed);
  }

  /** The epoch's order of these images: by their draw, and by number where draws are equal. */
  int[] order(int[] images, int epoch) {
    long[] keyed = new long[images.length];
    for (int i = 0; i < images.length; i++) {
      long word = draw(images[i], epoch).w0;
      keyed[i] = (word << 32) | images[i];
    }
    Arrays.sort(keyed);
    int[] order = new int[images.length];
    for (int i = 0; i < order.length; i++) {
      order[i] = (int) keyed[i];
    }
    return order;
  }

  /** Fills a slot from {@code order[from]} on; returns how many images are real. */
  int fill(BatchSlot slot, int[] order, int from, int epoch) {
    int count = Math.min(slot.numbers.length, order.length - from);
    long bytes = set.shape().elements();
    MemorySegment pixels = set.pixels();
    for (int i = 0; i < slot.numbers.length; i++) {
      // Padding repeats the last real image.
      int image = order[from + Math.min(i, count - 1)];
      slot.numbers[i] = image;
      slot.labels.setAtIndex(JAVA_INT, i, set.label(image));
      window(image, epoch).writeTo(slot.windows, i);
      MemorySegment.copy(pixels, image * bytes, slot.images, i * bytes, bytes);
    }
    return count;
  }

  private Philox draw(int image, int epoch) {
    return philox.at(image, epoch, stream, DrawPurpose.ORDER_AND_AUGMENTATION);
  }

  private Window window(int image, int epoch) {
    if (!augmentation.changesImages()) {
      return Window.WHOLE;
    }
    Philox words = draw(image, epoch);
    int padding = augmentation.cropPadding();
    return new Window(
        Philox.below(words.w1, 2 * padding + 1) - padding,
        Philox.below(words.w2, 2 * padding + 1) - padding,
        augmentation.horizontalFlip() && words.w3 < 0);
  }
}
