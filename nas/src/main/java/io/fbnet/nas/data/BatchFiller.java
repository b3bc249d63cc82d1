package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;

/**
 * Turns image numbers into a batch of bytes and the windows that are cut out of them, or into one
 * of floats as the network takes them. One Philox draw for (seed, stream, epoch, image) gives both
 * the image's place in the epoch (word 0) and its augmentation (words 1 to 3), so that neither
 * depends on batches, workers or where a run was resumed. An image that a balanced epoch has
 * several times has as many draws. Used by one thread.
 */
final class BatchFiller {
  /** How far an image of a shard may move: the more, the nearer the order is to any order. */
  static final int SHARD_WINDOW = 4096;

  private final ImageSet set;
  private final Augmentation augmentation;
  private final int stream;
  private final Philox philox;

  /** The weight of each class; none where images have no weights. */
  private final float[] weights;

  private final Optional<BalancedOrder> balanced;

  /** Empty where a window says all. */
  private final Optional<Augmenter> augmenter;

  /** Where images that are to be mixed lie meanwhile. */
  private MemorySegment unmixed = MemorySegment.NULL;

  /**
   * Fills batches.
   *
   * @param images that an epoch has, of which weights and balanced orders follow
   * @param normalisation whose mean colour lies where an image is moved or cut away, and which
   *     floats are brought to
   */
  BatchFiller(
      ImageSet set,
      int[] images,
      ClassBalance balance,
      Augmentation augmentation,
      Optional<Normalisation> normalisation,
      long seed,
      int stream) {
    this.set = set;
    this.augmentation = augmentation;
    this.stream = stream;
    philox = new Philox(seed);
    weights =
        balance == ClassBalance.WEIGHTS ? ClassCounts.of(set, images).weights() : new float[0];
    balanced =
        balance == ClassBalance.SAMPLING
            ? Optional.of(new BalancedOrder(set, images))
            : Optional.empty();
    ImageShape shape = set.shape();
    boolean floats = shape.pixels() == PixelType.F32;
    augmenter =
        augmentation.changesPixels() || floats
            ? Optional.of(
                new Augmenter(
                    augmentation,
                    shape,
                    floats
                        ? () -> new FloatCanvas(shape, normalisation.orElseThrow())
                        : () -> new PixelCanvas(shape, normalisation),
                    seed,
                    stream))
            : Optional.empty();
  }

  /** These images as they come, in the form of {@link #order}. */
  static long[] unshuffled(int[] images) {
    return Arrays.stream(images).asLongStream().toArray();
  }

  /**
   * The epoch's order of these images: of each its number, and above the number's 32 bits how many
   * times the epoch has had it before, which is 0 but in a balanced one. Where they lie in memory
   * it is that of their draws, and of numbers where draws are equal. Shards are taken in the order
   * of their own draws; behind each other their images make one row, in which each moves on by its
   * draw, less than a window. So what is read together lies in a few shards.
   */
  long[] order(int[] images, int epoch) {
    if (balanced.isPresent()) {
      return anywhere(balanced.get().drawn(philox, stream, epoch), epoch);
    }
    int[] ascending = images.clone();
    Arrays.sort(ascending);
    return set.shards().length == 0
        ? anywhere(unshuffled(ascending), epoch)
        : byShards(ascending, epoch);
  }

  private long[] byShards(int[] ascending, int epoch) {
    int[] firsts = set.shards();
    long[] shards = new long[firsts.length];
    for (int s = 0; s < shards.length; s++) {
      long word = philox.at(s, epoch, stream, DrawPurpose.SHARD_ORDER).w0;
      shards[s] = (word << 32) | s;
    }
    Arrays.sort(shards);
    int[] row = new int[ascending.length];
    long[] keyed = new long[ascending.length];
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
    long[] order = new long[ascending.length];
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

  private long[] anywhere(long[] images, int epoch) {
    long[] keyed = new long[images.length];
    for (int i = 0; i < images.length; i++) {
      long word = draw(images[i], epoch).w0;
      keyed[i] = (word << 32) | i;
    }
    Arrays.sort(keyed);
    long[] order = new long[images.length];
    for (int i = 0; i < order.length; i++) {
      order[i] = images[(int) keyed[i]];
    }
    return order;
  }

  /**
   * Fills a slot with a part of a batch.
   *
   * @param start where in the order the whole batch begins
   * @param end where it ends
   * @param from where the part begins
   * @return how many images are real
   */
  int fill(BatchSlot slot, long[] order, int start, int end, int from, int epoch) {
    int count = Math.min(slot.numbers.length, order.length - from);
    long[] batch = new long[slot.numbers.length];
    for (int i = 0; i < slot.numbers.length; i++) {
      // Padding repeats the last real image.
      long drawn = order[from + Math.min(i, count - 1)];
      batch[i] = drawn;
      int image = (int) drawn;
      int label = set.label(image);
      slot.numbers[i] = image;
      slot.labels.setAtIndex(JAVA_INT, i, label);
      if (weights.length > 0) {
        slot.weights.orElseThrow().setAtIndex(JAVA_FLOAT, i, weights[label]);
      }
      window(drawn, epoch).writeTo(slot.windows, i);
    }
    if (augmentation.mixup() > 0) {
      // The last image's partner may be another rank's, and that of the whole batch its first.
      int after = from + slot.numbers.length;
      mix(slot, batch, order[after < end ? after : start], epoch);
    } else {
      set.copy(slot.numbers, slot.images);
      augmenter.ifPresent(a -> a.apply(slot.images, batch, epoch));
    }
    return count;
  }

  /** Fills in images that are each mixed with the next one, their labels and weights. */
  private void mix(BatchSlot slot, long[] batch, long next, int epoch) {
    Augmenter mixer = augmenter.orElseThrow();
    long[] images = Arrays.copyOf(batch, batch.length + 1);
    images[batch.length] = next;
    int[] numbers = Arrays.stream(images).mapToInt(image -> (int) image).toArray();
    long bytes = (long) images.length * set.shape().bytes();
    if (unmixed.byteSize() < bytes) {
      unmixed = Arena.ofAuto().allocate(bytes, Float.BYTES);
    }
    set.copy(numbers, unmixed);
    mixer.apply(unmixed, images, epoch);
    float[] shares = new float[batch.length];
    for (int i = 0; i < shares.length; i++) {
      shares[i] = mixer.share(batch[i], epoch);
      int partner = set.label(numbers[i + 1]);
      slot.partnerLabels.orElseThrow().setAtIndex(JAVA_INT, i, partner);
      float own = shares[i] * weight(set.label(numbers[i]));
      slot.weights.orElseThrow().setAtIndex(JAVA_FLOAT, i, own);
      slot.partnerWeights
          .orElseThrow()
          .setAtIndex(JAVA_FLOAT, i, (1 - shares[i]) * weight(partner));
    }
    mixer.mix(unmixed, slot.images, shares);
  }

  private float weight(int label) {
    return weights.length == 0 ? 1 : weights[label];
  }

  private Philox draw(long drawn, int epoch) {
    return draw(philox, drawn, epoch, stream);
  }

  /** The words of an image's order, padded crop and flip, each time that the epoch has it. */
  static Philox draw(Philox philox, long drawn, int epoch, int stream) {
    int before = (int) (drawn >>> 32);
    int purpose = before == 0 ? DrawPurpose.ORDER_AND_AUGMENTATION : DrawPurpose.REPEATED + before;
    return philox.at((int) drawn, epoch, stream, purpose);
  }

  /**
   * What is left to the device: all, where the host crops mirroring, of mixed images and of floats
   * nothing.
   */
  private Window window(long drawn, int epoch) {
    boolean flip =
        augmentation.horizontalFlip()
            && augmentation.mixup() == 0
            && set.shape().pixels() == PixelType.U8;
    int padding =
        augmenter.isEmpty() && augmentation.crop() instanceof Augmentation.Padded padded
            ? padded.pixels()
            : 0;
    return flip || padding > 0 ? Window.drawn(draw(drawn, epoch), padding, flip) : Window.WHOLE;
  }
}
