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

  /**
   * {@return bytes of elements}
   *
   * @param count how many
   * @param each bytes of one
   * @throws IllegalArgumentException where they are fewer than none or more than can be
   */
  static long bytes(long count, int each) {
    if (count < 0 || count > Long.MAX_VALUE / each) {
      throw new IllegalArgumentException("there are no " + count + " elements");
    }
    return count * each;
  }

  /**
   * Refuses memory that is no place to copy from.
   *
   * @param memory to read
   * @param bytes how many
   * @throws IllegalArgumentException where it has fewer
   * @throws IllegalStateException where it was freed, or is another thread's alone
   */
  static void requireReadable(MemorySegment memory, long bytes) {
    if (bytes < 0 || memory.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "memory of " + bytes + " bytes is needed, not of " + memory.byteSize());
    }
    if (!memory.scope().isAlive()) {
      throw new IllegalStateException("the memory was freed");
    }
    if (!memory.isAccessibleBy(Thread.currentThread())) {
      throw new IllegalStateException("the memory is another thread's alone");
    }
  }

  /**
   * Refuses memory that is no place to copy to.
   *
   * @param memory to write
   * @param bytes how many
   * @throws IllegalArgumentException where it has fewer, or is read-only
   * @throws IllegalStateException where it was freed, or is another thread's alone
   */
  static void requireWritable(MemorySegment memory, long bytes) {
    requireReadable(memory, bytes);
    if (memory.isReadOnly()) {
      throw new IllegalArgumentException("the memory is read-only");
    }
  }

  /**
   * Refuses memory that only Java can reach.
   *
   * @param memory for a device
   * @throws IllegalArgumentException where it lies on the Java heap
   */
  static void requireNative(MemorySegment memory) {
    if (!memory.isNative()) {
      throw new IllegalArgumentException(
          "the memory lies on the Java heap, where the device cannot reach it: take"
              + " Backend.hostMemory or an arena");
    }
  }

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
        if (arena.scope().isAlive()) {
          arena.close();
        }
      }
    };
  }
}
