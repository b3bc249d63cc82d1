package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Turns image numbers into a normalised batch. One Philox draw for (seed, stream, epoch, image)
 * gives both the image's place in the epoch (word 0) and its augmentation (words 1 to 3), so that
 * neither depends on batches, workers or where a run was resumed. Used by one thread.
 *
 * <p>Loops run over flat arrays: element-wise access to a segment is several times slower.
 */
final class BatchFiller {
  private final ImageSet set;
  private final Augmentation augmentation;
  private final int stream;
  private final Philox philox;

  /** The normalised value of every byte, {@code [channels * 256]}. */
  private final float[] table;

  private final byte[] source;
  private final float[] target;
  private final int[] labels;

  BatchFiller(
      ImageSet set,
      Augmentation augmentation,
      float[] mean,
      float[] std,
      long seed,
      int stream,
      int batchSize) {
    this.set = set;
    this.augmentation = augmentation;
    this.stream = stream;
    philox = new Philox(seed);
    table = new float[set.channels() * 256];
    for (int c = 0; c < set.channels(); c++) {
      for (int v = 0; v < 256; v++) {
        table[c * 256 + v] = (float) ((v / 255.0 - mean[c]) / std[c]);
      }
    }
    source = new byte[set.shape().elements()];
    target = new float[source.length];
    labels = new int[batchSize];
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
    MemorySegment pixels = set.pixels();
    for (int i = 0; i < slot.numbers.length; i++) {
      if (i < count) {
        int image = order[from + i];
        slot.numbers[i] = image;
        labels[i] = set.label(image);
        MemorySegment.copy(
            pixels, JAVA_BYTE, (long) image * source.length, source, 0, source.length);
        normalise(image, epoch);
      } else {
        // Padding repeats the last real image, which still lies in the row buffer.
        labels[i] = labels[count - 1];
      }
      long at = (long) i * target.length * Float.BYTES;
      MemorySegment.copy(target, 0, slot.images, JAVA_FLOAT, at, target.length);
    }
    MemorySegment.copy(labels, 0, slot.labels, JAVA_INT, 0, labels.length);
    return count;
  }

  private Philox draw(int image, int epoch) {
    return philox.at(image, epoch, stream, DrawPurpose.ORDER_AND_AUGMENTATION);
  }

  private void normalise(int image, int epoch) {
    if (!augmentation.changesImages()) {
      int plane = set.height() * set.width();
      for (int c = 0; c < set.channels(); c++) {
        int base = c * 256;
        for (int p = c * plane; p < (c + 1) * plane; p++) {
          target[p] = table[base + (source[p] & 255)];
        }
      }
      return;
    }
    Philox words = draw(image, epoch);
    int padding = augmentation.cropPadding();
    int down = Philox.below(words.w1, 2 * padding + 1) - padding;
    int right = Philox.below(words.w2, 2 * padding + 1) - padding;
    boolean flip = augmentation.horizontalFlip() && words.w3 < 0;
    for (int c = 0; c < set.channels(); c++) {
      for (int y = 0; y < set.height(); y++) {
        row(c, y, down, right, flip);
      }
    }
  }

  /** One row of the window that lies {@code down, right} of the image, its frame black. */
  private void row(int c, int y, int down, int right, boolean flip) {
    int height = set.height();
    int width = set.width();
    int base = c * 256;
    int to = (c * height + y) * width;
    int sourceY = y + down;
    if (sourceY < 0 || sourceY >= height) {
      Arrays.fill(target, to, to + width, table[base]);
      return;
    }
    int from = (c * height + sourceY) * width;
    int first = Math.min(width, Math.max(0, -right));
    int end = Math.max(first, Math.min(width, width - right));
    if (flip) {
      int last = to + width - 1;
      for (int x = first; x < end; x++) {
        target[last - x] = table[base + (source[from + x + right] & 255)];
      }
      Arrays.fill(target, last - first + 1, to + width, table[base]);
      Arrays.fill(target, to, last - end + 1, table[base]);
    } else {
      for (int x = first; x < end; x++) {
        target[to + x] = table[base + (source[from + x + right] & 255)];
      }
      Arrays.fill(target, to, to + first, table[base]);
      Arrays.fill(target, to + end, to + width, table[base]);
    }
  }
}
