package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One batch in a loader's off-heap slot. Its segments are rewritten after {@link #release()}, and,
 * unless the loader was built with {@link BatchLoader.Builder#manualRelease}, after the following
 * {@link BatchLoader#next()}.
 */
public final class Batch {
  private final BatchSlot slot;
  private final int index;
  private final int count;
  private final Runnable recycle;
  private final AtomicBoolean released = new AtomicBoolean();

  Batch(BatchSlot slot, int index, int count, Runnable recycle) {
    this.slot = slot;
    this.index = index;
    this.count = count;
    this.recycle = recycle;
  }

  /**
   * {@return {@code [batchSize, channels, height, width]}: unsigned bytes as they were decoded, or
   * float32, cropped, mirrored and normalised}
   */
  public MemorySegment images() {
    return slot.images;
  }

  /**
   * {@return the window that is to be cut out of each image, int32, {@code [batchSize, 3]}: how far
   * it lies down and to the right of the image, in pixels, and 1 where it is then mirrored left to
   * right, else 0; beside the image it is black; of float32 images it is the whole}
   */
  public MemorySegment windows() {
    return slot.windows;
  }

  /** {@return whether the device has to cut windows out: not of float32 images} */
  public boolean hasWindows() {
    return slot.hasWindows;
  }

  /** {@return int32 class numbers, {@code [batchSize]}} */
  public MemorySegment labels() {
    return slot.labels;
  }

  /**
   * {@return float32 factors of each image's loss, {@code [batchSize]}, where the loader was built
   * with {@link ClassBalance#WEIGHTS} or mixes images: then times the image's share}
   */
  public Optional<MemorySegment> weights() {
    return slot.weights;
  }

  /** {@return int32 class numbers of what images are mixed with, {@code [batchSize]}} */
  public Optional<MemorySegment> partnerLabels() {
    return slot.partnerLabels;
  }

  /** {@return as {@link #weights}, of what images are mixed with} */
  public Optional<MemorySegment> partnerWeights() {
    return slot.partnerWeights;
  }

  /**
   * {@return how many images are real; the rest, in the last batch alone, repeat its last real
   * image}
   */
  public int count() {
    return count;
  }

  /** {@return the batch's place in its epoch, from 0} */
  public int index() {
    return index;
  }

  /** {@return the image numbers, {@code [count]}; a copy} */
  public int[] imageNumbers() {
    return Arrays.copyOf(slot.numbers, count);
  }

  /** Gives the slot back to the loader; a second call does nothing. */
  public void release() {
    if (released.compareAndSet(false, true)) {
      recycle.run();
    }
  }
}
