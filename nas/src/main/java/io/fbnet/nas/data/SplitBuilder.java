package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;

/** Gathers the images of one split, whose number is known at most, into one segment. */
final class SplitBuilder {
  private final ImageShape shape;
  private final MemorySegment pixels;
  private final int[] labels;
  private int size;

  SplitBuilder(SegmentAllocator allocator, ImageShape shape, int mostImages) {
    this.shape = shape;
    pixels = allocator.allocate((long) mostImages * shape.elements());
    labels = new int[mostImages];
  }

  /**
   * Appends one image.
   *
   * @param image C x H x W, or one grey plane, which is then repeated for every channel
   */
  void add(byte[] image, int label) {
    for (int at = 0; at < shape.elements(); at += image.length) {
      long to = (long) size * shape.elements() + at;
      MemorySegment.copy(image, 0, pixels, ValueLayout.JAVA_BYTE, to, image.length);
    }
    labels[size++] = label;
  }

  ImageSet build(String name, List<String> classes) {
    return ImageSet.of(
        name,
        shape,
        pixels.asSlice(0, (long) size * shape.elements()),
        Arrays.copyOf(labels, size),
        classes);
  }

  /** Refuses images of a size that the search space does not take; grey may become three. */
  static void requireFit(String name, ImageShape images, ImageShape space) {
    boolean fits =
        images.height() == space.height()
            && images.width() == space.width()
            && (images.channels() == space.channels() || images.channels() == 1);
    if (!fits) {
      throw UserException.data(
          "%s holds images of %s (channels x height x width), but the search space takes %s; choose"
              + " a space of that size with --space.",
          name, images, space);
    }
  }
}
