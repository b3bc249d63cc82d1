package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.util.Arrays;
import java.util.Optional;

/**
 * Turns image numbers into a batch of bytes and the windows that are cut out of them. One Philox
 * draw for (seed, stream, epoch, image) gives both the image's place in the epoch (word 0) and its
 * augmentation (words 1 to 3), so that neither depends on batches, workers or where a run was
 * resumed. Used by one thread.
 */
final class BatchFiller {
  /** How far an image of a shard may move: the more, the nearer the order is to any order. */
  static final int SHARD_WINDOW = 4096;

  private final ImageSet set;
  private final Augmentation augmentation;
  private final int stream;
  private final Philox philox;

  /** Empty where a window says all. */
  private final Optional<Augmenter> augmenter;

  /**
   * A filler of batches of a set.
   *
   * @param background a byte a channel, for where an image is moved or cut away
   */
  BatchFiller(ImageSet set, Augmentation augmentation, byte[] background, long seed, int stream) {
    this.set = set;
    this.augmentation = augmentation;
    this.stream = stream;
    philox = new Philox(seed);
    augmenter =
        augmentation.changesPixels()
            ? Optional.of(new Augmenter(augmentation, set.shape(), background, seed, stream))
            : Optional.empty();
  }

  /**
   * The epoch's order of these images. Where they lie in memory it is that of their draws, and of
   * numbers where draws are equal. Shards are taken in the order of their own draws; behind each
   * other their images make one row, in which each moves on by its draw, less than a window. So
   * what is read together lies in a few shards.
   */
  int[] order(int[] images, int epoch) {
    return set.shards().length == 0 ? anywhere(images, epoch) : byShards(images, epoch);
  }

  private int[] byShards(int[] images, int epoch) {
    int[] ascending = images.clone();
    Arrays.sort(ascending);
    int[] firsts = set.shards();
    long[] shards = new long[firsts.length];
    for (int s = 0; s < shards.length; s++) {
      long word = philox.at(s, epoch, stream, DrawPurpose.SHARD_ORDER).w0;
      shards[s] = (word << 32) | s;
    }
    Arrays.sort(shards);
    int[] row = new int[images.length];
    long[] keyed = new long[images.length];
    int place = 0;
    for (long shard : shards) {
      int s = (int) shard;
      int end = s + 1 < firsts.length ? firsts[s + 1] : set.size();
      for (int i = from(ascending, firsts[s]); i < ascending.length && ascending[i] < end; i++) {
        long moved = (long) place + Philox.below(draw(ascending[i], epoch).w0, SHARD_WINDOW);
        row[place] = ascending[i];
        keyed[place] = (moved << 31) | place;
        place++;
      }
    }
    Arrays.sort(keyed);
    int[] order = new int[images.length];
    for (int i = 0; i < order.length; i++) {
      order[i] = row[(int) (keyed[i] & Integer.MAX_VALUE)];
    }
    return order;
  }

  /** Where numbers of at least {@code first} begin. */
  private static int from(int[] ascending, int first) {
    int found = Arrays.binarySearch(ascending, first);
    return found < 0 ? -found - 1 : found;
  }

  private int[] anywhere(int[] images, int epoch) {
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
    for (int i = 0; i < slot.numbers.length; i++) {
      // Padding repeats the last real image.
      int image = order[from + Math.min(i, count - 1)];
      slot.numbers[i] = image;
      slot.labels.setAtIndex(JAVA_INT, i, set.label(image));
      window(image, epoch).writeTo(slot.windows, i);
    }
    set.copy(slot.numbers, slot.images);
    augmenter.ifPresent(a -> a.apply(slot.images, slot.numbers, epoch));
    return count;
  }

  private Philox draw(int image, int epoch) {
    return philox.at(image, epoch, stream, DrawPurpose.ORDER_AND_AUGMENTATION);
  }

  /** What is left to the device: all, or where the host crops, mirroring. */
  private Window window(int image, int epoch) {
    boolean flip = augmentation.horizontalFlip();
    int padding =
        augmenter.isEmpty() && augmentation.crop() instanceof Augmentation.Padded padded
            ? padded.pixels()
            : 0;
    return flip || padding > 0 ? Window.drawn(draw(image, epoch), padding, flip) : Window.WHOLE;
  }
}
