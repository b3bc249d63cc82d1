package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Optional;

/** Memory of one batch, reused for the life of a loader. */
final class BatchSlot {
  private static final long ALIGNMENT = 256;

  final MemorySegment images;
  final MemorySegment windows;
  final MemorySegment labels;
  final int[] numbers;

  /** Where images have weights. */
  final Optional<MemorySegment> weights;

  BatchSlot(SegmentAllocator allocator, int batchSize, ImageShape shape, boolean weighted) {
    images = allocator.allocate((long) batchSize * shape.elements(), ALIGNMENT);
    windows = allocator.allocate((long) batchSize * Window.BYTES, ALIGNMENT);
    labels = allocator.allocate((long) batchSize * Integer.BYTES, ALIGNMENT);
    numbers = new int[batchSize];
    weights =
        weighted
            ? Optional.of(allocator.allocate((long) batchSize * Float.BYTES, ALIGNMENT))
            : Optional.empty();
  }
}
