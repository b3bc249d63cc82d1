package io.fbnet.engine.backend;

import io.fbnet.engine.graph.Graph;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/**
 * A device that runs graphs. One thread uses it, the one that opened it. It is always passed, never
 * a global default.
 */
public interface Backend extends AutoCloseable {
  /** {@code reference}, {@code cpu} or {@code cuda}. */
  String name();

  /** The device in words, for a person. */
  String device();

  /**
   * What bit-for-bit equality of results depends on: threads, instruction set, libraries,
   * precision.
   */
  Map<String, String> fingerprint();

  /** Bytes of an f32 in this back end's flat buffers: 4, or 8 where it computes in double. */
  int elementBytes();

  /**
   * Zeroed memory of the device, aligned to 256 bytes.
   *
   * @throws OutOfDeviceMemory where there is not enough
   */
  MemorySegment allocate(long bytes);

  /** Returns memory that {@link #allocate} gave. */
  void release(MemorySegment memory);

  /** Copies {@code count} f32 from host memory to a flat buffer. */
  void copyIn(MemorySegment host, MemorySegment device, long count);

  /** Copies {@code count} elements of a flat buffer to host memory as f32. */
  void copyOut(MemorySegment device, MemorySegment host, long count);

  /** Room for the scalars of a program's control block. */
  default ControlBlock controls(int scalars) {
    return ControlBlock.onHost(scalars);
  }

  /**
   * Chooses layouts for a graph; throws where it cannot run one of the operations.
   *
   * @param fixedParameters whether no parameter changes after the first run, so that copies of them
   *     in another format may be kept
   */
  GraphCompiler compiler(Graph graph, boolean fixedParameters);

  /** Returns when everything launched has finished. */
  void synchronise();

  @Override
  void close();
}
