package io.fbnet.engine.backend;

import io.fbnet.engine.graph.Graph;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/**
 * A device that runs graphs. One thread uses it, the one that opened it; on another, and once it is
 * closed, its methods throw {@link IllegalStateException}. It is always passed, never a global
 * default.
 */
public interface Backend extends AutoCloseable {
  /** {@return {@code reference}, {@code cpu} or {@code cuda}} */
  String name();

  /** {@return the device in words, for a person} */
  String device();

  /**
   * {@return what bit-for-bit equality of results depends on, by name: threads, instruction set,
   * libraries, precision}
   */
  Map<String, String> fingerprint();

  /**
   * {@return bytes of an f32 in the flat buffers: 4, or 8 where the back end computes in double}
   */
  int elementBytes();

  /**
   * {@return the ranks whose means operations take; this one alone unless it was opened with more}
   */
  default Communicator communicator() {
    return Communicator.alone();
  }

  /** {@return the thread and the time that the back end is for; its methods refuse others} */
  Confinement confinement();

  /**
   * {@return zeroed memory of the device, aligned to 256 bytes}
   *
   * @param bytes its size, 0 or more
   * @throws IllegalArgumentException where it is negative
   * @throws OutOfDeviceMemory where there is not enough
   */
  MemorySegment allocate(long bytes);

  /**
   * {@return the same for what ranks exchange in each step}
   *
   * @param bytes its size
   */
  default MemorySegment allocateExchanged(long bytes) {
    return allocate(bytes);
  }

  /**
   * Returns memory that {@link #allocate} gave.
   *
   * @param memory as it was given, no slice of it
   */
  void release(MemorySegment memory);

  /**
   * Copies f32 from host memory to a flat buffer.
   *
   * @param host {@code count} f32, not on the Java heap where the device is a GPU
   * @param device {@code count} elements of {@link #elementBytes} each
   * @param count how many, 0 or more
   * @throws IllegalArgumentException where either is too small
   */
  void copyIn(MemorySegment host, MemorySegment device, long count);

  /**
   * Copies elements of a flat buffer to host memory as f32.
   *
   * @param device {@code count} elements of {@link #elementBytes} each
   * @param host room for {@code count} f32, not on the Java heap where the device is a GPU
   * @param count how many, 0 or more
   * @throws IllegalArgumentException where either is too small, or the host's is read-only
   */
  void copyOut(MemorySegment device, MemorySegment host, long count);

  /**
   * {@return memory of the host for inputs, from which copies to this device are fastest} The
   * caller closes it before the back end.
   */
  default HostMemory hostMemory() {
    return HostMemory.offHeap();
  }

  /**
   * {@return room for the scalars of a program's control block}
   *
   * @param scalars how many, 0 or more
   */
  default ControlBlock controls(int scalars) {
    return ControlBlock.onHost(scalars);
  }

  /**
   * {@return layouts chosen for a graph, ready to prepare its kernels}
   *
   * @param graph what will run
   * @param fixedParameters whether no parameter changes after the first run, so that copies of them
   *     in another format may be kept
   */
  GraphCompiler compiler(Graph graph, boolean fixedParameters);

  /**
   * Begins, on a thread of its own, what would make a first training step slower than those that
   * follow. To be called when a training is certain and before its programs are compiled, not where
   * something is about to be measured.
   */
  default void warmUp() {}

  /** Returns when everything launched has finished. */
  void synchronise();

  @Override
  void close();
}
