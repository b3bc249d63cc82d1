package io.fbnet.engine.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The scalars that may change before each step, 8 bytes each. The caller writes {@link #host}, then
 * {@link #push}es; kernels read {@link #device}.
 */
public interface ControlBlock extends AutoCloseable {
  /** Bytes of one scalar's place. */
  int SCALAR_BYTES = 8;

  /** {@return what the caller writes, on the host} */
  MemorySegment host();

  /** {@return what kernels read, on the device} */
  MemorySegment device();

  /** Makes what was written visible to kernels launched from now on, not to earlier ones. */
  void push();

  @Override
  void close();

  /**
   * {@return a block for devices that compute in host memory, and finish before they return}
   *
   * @param scalars how many, 0 or more
   */
  static ControlBlock onHost(int scalars) {
    if (scalars < 0) {
      throw new IllegalArgumentException("no block of " + scalars + " scalars");
    }
    Arena arena = Arena.ofShared();
    MemorySegment memory = arena.allocate(Math.max(1, scalars) * (long) SCALAR_BYTES, 64);
    return new ControlBlock() {
      @Override
      public MemorySegment host() {
        return memory;
      }

      @Override
      public MemorySegment device() {
        return memory;
      }

      @Override
      public void push() {
        // One memory serves both sides.
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
