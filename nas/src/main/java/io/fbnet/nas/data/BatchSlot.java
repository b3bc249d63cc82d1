package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Optional;

/** Memory of one batch, reused for the life of a loader. */
final class BatchSlot {
  private static final long ALIGNMENT = 256;

  final MemorySegment images;
  final MemorySegment windows;

  /** Of floats the host has cut out what is seen. */
  final boolean hasWindows;

  final MemorySegment labels;
  final int[] numbers;

  /** Where images have weights or are mixed. */
  final Optional<MemorySegment> weights;

  /** Where images are mixed. */
  final Optional<MemorySegment> partnerLabels;

  final Optional<MemorySegment> partnerWeights;

  BatchSlot(
      SegmentAllocator allocator,
      int batchSize,
      ImageShape shape,
      boolean weighted,
      boolean mixed) {
    images = allocator.allocate((long) batchSize * shape.bytes(), ALIGNMENT);
    windows = allocator.allocate((long) batchSize * Window.BYTES, ALIGNMENT);
    hasWindows = shape.pixels() == PixelType.U8;
    labels = allocator.allocate((long) batchSize * Integer.BYTES, ALIGNMENT);
    numbers = new int[batchSize];
    weights = words(allocator, batchSize, weighted || mixed);
    partnerLabels = words(allocator, batchSize, mixed);
    partnerWeights = words(allocator, batchSize, mixed);
  }

  private static Optional<MemorySegment> words(
      SegmentAllocator allocator, int batchSize, boolean wanted) {
    return wanted
        ? Optional.of(allocator.allocate((long) batchSize * Integer.BYTES, ALIGNMENT))
        : Optional.empty();
  }
}
