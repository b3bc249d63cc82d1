package io.fbnet.engine.backend;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/** A back end's view of one graph: the layouts it chose, and kernels for the operations. */
public interface GraphCompiler extends AutoCloseable {
  /** Bytes that a value takes in the layout chosen for it. */
  long bytes(Value value);

  /** Prepares an operation; {@code memory} gives the place of each of its values. */
  Kernel prepare(Op op, Function<Value, MemorySegment> memory);

  /** Copies a value from row-major host memory. */
  void upload(Value value, MemorySegment host, MemorySegment device);

  /** Copies a value to row-major host memory. */
  void download(Value value, MemorySegment device, MemorySegment host);

  /** Bytes that kernels hold beside the values: scratch and packed weights. */
  long workspaceBytes();

  /** Kernels that run by an implementation known to be slow, one sentence each. */
  default List<String> slowKernels() {
    return List.of();
  }

  @Override
  void close();
}
