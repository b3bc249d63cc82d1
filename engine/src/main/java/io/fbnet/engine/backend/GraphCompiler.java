package io.fbnet.engine.backend;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.Arena;
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

  /** One kernel that does what the given ones do in order, in as few calls as the device allows. */
  default Kernel whole(List<Kernel> kernels) {
    return () -> kernels.forEach(Kernel::launch);
  }

  /** Begins to copy values to the host, behind everything launched so far. */
  default Readback read(List<Value> values, Function<Value, MemorySegment> memory) {
    float[][] result = new float[values.size()][];
    try (Arena arena = Arena.ofConfined()) {
      for (int i = 0; i < result.length; i++) {
        Value value = values.get(i);
        MemorySegment host = arena.allocate(value.shape().elements() * Float.BYTES, 64);
        download(value, memory.apply(value), host);
        result[i] = host.toArray(JAVA_FLOAT);
      }
    }
    return () -> result;
  }

  /**
   * Runs kernels in order, again and again, by the device's own clock where it has one.
   *
   * @return milliseconds of one pass, as many samples as the device's way of timing gives
   */
  default double[] time(List<Kernel> kernels, int passes) {
    double[] samples = new double[passes];
    for (int i = 0; i < passes; i++) {
      long start = System.nanoTime();
      kernels.forEach(Kernel::launch);
      samples[i] = (System.nanoTime() - start) / 1e6;
    }
    return samples;
  }

  /** Bytes that kernels hold beside the values: scratch and packed weights. */
  long workspaceBytes();

  /** Kernels that run by an implementation known to be slow, one sentence each. */
  default List<String> slowKernels() {
    return List.of();
  }

  @Override
  void close();
}
