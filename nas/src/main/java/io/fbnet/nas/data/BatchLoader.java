package io.fbnet.nas.data;

import com.google.errorprone.annotations.CanIgnoreReturnValue;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;

/**
 * Reads batches ahead of the training loop, on one daemon thread, into a few reused off-heap slots.
 *
 * <p>Order and augmentation are a pure function of (seed, stream, epoch, image number): starting at
 * batch k of epoch e gives bit for bit what a run from the beginning gives there.
 *
 * <p>{@link #start}, {@link #next} and {@link #close} belong to one thread; {@link Batch#release}
 * may be called from any.
 */
public final class BatchLoader implements AutoCloseable {
  private final int[] images;
  private final int batchSize;
  private final int first;
  private final boolean shuffle;
  private final boolean manualRelease;
  private final int batches;
  private final BatchFiller filler;
  private final Optional<Arena> ownArena;
  private final List<BatchSlot> slots = new ArrayList<>();
  private Optional<Prefetch> prefetch = Optional.empty();
  private Optional<Batch> current = Optional.empty();
  private boolean closed;

  // The arena lives as long as the loader, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  private BatchLoader(Builder builder) {
    images = builder.images;
    batchSize = builder.batchSize;
    int own = batchSize / builder.ranks;
    first = builder.rank * own;
    shuffle = builder.shuffle;
    manualRelease = builder.manualRelease;
    batches = builder.dropLast ? images.length / batchSize : Math.ceilDiv(images.length, batchSize);
    filler =
        new BatchFiller(
            builder.set,
            images,
            builder.balance,
            builder.augmentation,
            builder.normalisation,
            builder.seed,
            builder.stream);
    boolean weighted = builder.balance == ClassBalance.WEIGHTS;
    boolean mixed = builder.augmentation.mixup() > 0;
    ownArena = builder.allocator.isPresent() ? Optional.empty() : Optional.of(Arena.ofShared());
    SegmentAllocator allocator = builder.allocator.orElseGet(ownArena::orElseThrow);
    try {
      for (int i = 0; i < builder.slots; i++) {
        slots.add(new BatchSlot(allocator, own, builder.set.shape(), weighted, mixed));
      }
    } catch (OutOfMemoryError e) {
      ownArena.ifPresent(Arena::close);
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          String.format(
              Locale.ROOT,
              "There is no memory for %d batches of %d images of %s; lower the batch size.",
              builder.slots,
              batchSize,
              builder.set.shape()),
          e);
    }
  }

  /**
   * Prepares a loader over some of a set's images.
   *
   * @param set the images
   * @param imageNumbers which of them an epoch holds, such as one part of {@link Splits}; copied
   * @return a builder
   * @throws IndexOutOfBoundsException if the set has no image of such a number
   */
  public static Builder over(ImageSet set, int[] imageNumbers) {
    return new Builder(set, imageNumbers);
  }

  /** {@return how many batches an epoch has} */
  public int batches() {
    return batches;
  }

  /** {@return how many real images an epoch yields} */
  public int imagesPerEpoch() {
    return Math.min(images.length, batches * batchSize);
  }

  /** {@return images in every batch of all ranks together, padding included} */
  public int batchSize() {
    return batchSize;
  }

  /**
   * Begins reading an epoch at one of its batches. What was being read before is dropped and every
   * slot is taken back, released or not.
   *
   * @param epoch from 0
   * @param firstBatch from 0; at {@link #batches()} the epoch is already over
   * @throws IllegalArgumentException if there is no such epoch or batch
   * @throws IllegalStateException after {@link #close}
   */
  public void start(int epoch, int firstBatch) {
    if (closed) {
      throw new IllegalStateException("the loader is closed");
    }
    if (epoch < 0 || firstBatch < 0 || firstBatch > batches) {
      throw new IllegalArgumentException(
          "no batch " + firstBatch + " of " + batches + " in epoch " + epoch);
    }
    stop();
    prefetch = Optional.of(new Prefetch(slots, batches, firstBatch, filling(epoch)));
  }

  /**
   * {@return the next batch, or null where the epoch is over} Waits for the reading thread.
   *
   * @throws UserException where the reading thread met a wrong or vanished file, or where waiting
   *     was interrupted
   * @throws IllegalStateException before {@link #start}, after {@link #close}, where the reading
   *     thread failed otherwise (its failure is the cause), or where every slot is still held
   */
  public Batch next() {
    Prefetch running =
        prefetch.orElseThrow(() -> new IllegalStateException("the loader was not started"));
    if (!manualRelease) {
      current.ifPresent(Batch::release);
    }
    try {
      current = running.take();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UserException(
          ExitCode.INTERRUPTED, "Interrupted while waiting for a batch of images.", e);
    }
    return current.orElse(null);
  }

  /** Ends the reading thread and frees the slots; a second call does nothing. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      stop();
      ownArena.ifPresent(Arena::close);
    }
  }

  private Prefetch.Filling filling(int epoch) {
    long[][] order = new long[1][];
    return (slot, batch) -> {
      if (order[0] == null) {
        order[0] = shuffle ? filler.order(images, epoch) : BatchFiller.unshuffled(images);
      }
      int start = batch * batchSize;
      int end = Math.min(start + batchSize, order[0].length);
      return filler.fill(slot, order[0], start, end, start + first, epoch);
    };
  }

  private void stop() {
    prefetch.ifPresent(Prefetch::stop);
    prefetch = Optional.empty();
    current = Optional.empty();
  }

  /** What a loader is made of; {@link #build} checks it. */
  public static final class Builder {
    private final ImageSet set;
    private final int[] images;
    private int batchSize = 1;
    private Augmentation augmentation = Augmentation.none();
    private Optional<Normalisation> normalisation = Optional.empty();
    private long seed;
    private int stream;
    private ClassBalance balance = ClassBalance.NONE;
    private boolean shuffle;
    private boolean dropLast;
    private boolean manualRelease;
    private int slots = 3;
    private int rank;
    private int ranks = 1;
    private Optional<SegmentAllocator> allocator = Optional.empty();

    private Builder(ImageSet set, int[] imageNumbers) {
      this.set = set;
      images = imageNumbers.clone();
      for (int image : images) {
        Objects.checkIndex(image, set.size());
      }
    }

    /**
     * Sets how many images are in every batch; 1 unless set.
     *
     * @param size 1 or more
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder batchSize(int size) {
      batchSize = size;
      return this;
    }

    /**
     * Sets how images are augmented; not at all unless set.
     *
     * @param chosen the augmentation
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder augmentation(Augmentation chosen) {
      augmentation = chosen;
      return this;
    }

    /**
     * Sets what floats become, which have to have one, and that its mean colour lies where an image
     * is rotated away or cut out; black unless set.
     *
     * @param chosen for as many channels as the images have
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder normalisation(Normalisation chosen) {
      normalisation = Optional.of(chosen);
      return this;
    }

    /**
     * Sets what order and augmentation are drawn from; seed 0 and stream 0 unless set.
     *
     * @param drawSeed the run's
     * @param drawStream tells loaders of one run apart, such as the weights' and the architecture's
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder random(long drawSeed, int drawStream) {
      seed = drawSeed;
      stream = drawStream;
      return this;
    }

    /**
     * Sets what is done about classes with many images and with few; nothing unless set. An epoch
     * has as many images as without, however often some of them.
     *
     * @param how by weights in {@link Batch#weights}, or by how often images are drawn, which goes
     *     with {@link #shuffle} alone
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder balance(ClassBalance how) {
      balance = how;
      return this;
    }

    /**
     * Sets whether each epoch has an order of its own; false unless set.
     *
     * @param on true: a new order each epoch; false: the order of the image numbers given
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder shuffle(boolean on) {
      shuffle = on;
      return this;
    }

    /**
     * Sets whether the last uneven batch is left out; false unless set.
     *
     * @param on true: it is left out; false: it is padded
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder dropLast(boolean on) {
      dropLast = on;
      return this;
    }

    /**
     * Sets how long a batch stays valid; false unless set.
     *
     * @param on true: until its own {@link Batch#release}, for callers that copy it to a device
     *     without waiting; false: {@link BatchLoader#next} releases the one before
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder manualRelease(boolean on) {
      manualRelease = on;
      return this;
    }

    /**
     * Sets how many batches lie in memory at once; 3 unless set.
     *
     * @param count 2 or more
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder slots(int count) {
      slots = count;
      return this;
    }

    /**
     * Sets which part of every batch is read; all of it unless set. The parts are equal and in
     * order.
     *
     * @param ofRank the part, from 0
     * @param ofRanks how many parts there are; divides the batch size
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder share(int ofRank, int ofRanks) {
      rank = ofRank;
      ranks = ofRanks;
      return this;
    }

    /**
     * Sets where slots are allocated, such as memory that a device copies from. Without one the
     * loader owns its memory.
     *
     * @param chosen the allocator; its owner frees it, after the loader is closed
     * @return this
     */
    @CanIgnoreReturnValue
    public Builder allocator(SegmentAllocator chosen) {
      allocator = Optional.of(chosen);
      return this;
    }

    /**
     * Allocates the slots.
     *
     * @return the loader; the caller closes it
     * @throws UserException (exit code 3) where the images do not fill one batch and the last is to
     *     be left out, (exit code 4) where there is no memory, (exit code 2) where they lie in
     *     shards and are to be drawn in balance, or their colours cannot be changed as asked
     * @throws IllegalArgumentException where the batch size is below 1 or the slots below 2, where
     *     there are parts that do not divide the batch, or may be missing in the last one, where
     *     balanced draws are not shuffled, or where floats have no normalisation
     */
    public BatchLoader build() {
      if (batchSize < 1 || slots < 2) {
        throw new IllegalArgumentException("a batch of 1 or more and 2 slots or more");
      }
      if (ranks < 1 || batchSize % ranks != 0 || ranks > 1 && !dropLast) {
        throw new IllegalArgumentException(
            "a batch of " + batchSize + " images has no " + ranks + " equal parts");
      }
      Objects.checkIndex(rank, ranks);
      if (balance == ClassBalance.SAMPLING && !shuffle) {
        throw new IllegalArgumentException("balanced draws have no order of their own");
      }
      if (set.shape().pixels() == PixelType.F32 && normalisation.isEmpty()) {
        throw new IllegalArgumentException("floats have no normalisation");
      }
      balance.require(set);
      augmentation.require(set.shape());
      if (dropLast && images.length < batchSize) {
        throw UserException.data(
            "The %s images hold only %d for this step, fewer than one batch of %d; lower the batch"
                + " size or give more images.",
            set.name(), images.length, batchSize);
      }
      return new BatchLoader(this);
    }
  }
}
