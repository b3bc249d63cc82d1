package io.fbnet.engine.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/** Host memory for what goes to a device, all of it free again when it is closed. */
public interface HostMemory extends SegmentAllocator, AutoCloseable {
  /**
   * {@return memory that any thread may fill}
   *
   * @param bytes its size
   * @param alignment of its address, a power of two up to 256
   * @throws OutOfMemoryError where the host has not enough
   * @throws OutOfDeviceMemory where the device's driver has not enough of its kind
   */
  @Override
  MemorySegment allocate(long bytes, long alignment);

  /** Frees it, once no copy reads it any more. */
  @Override
  void close();

  /** {@return memory outside the Java heap, for devices whose memory is the host's} */
  // The arena lives as long as the memory, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  static HostMemory offHeap() {
    Arena arena = Arena.ofShared();
    return new HostMemory() {
      @Override
      public MemorySegment allocate(long bytes, long alignment) {
        return arena.allocate(bytes, alignment);
      }

      @Override
      public void close() {
        arena.close();
      }
    };
  }
}
