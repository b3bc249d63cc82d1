package io.fbnet.engine.backend;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

/** A back end's view of one graph: the layouts it chose, and kernels for the operations. */
public interface GraphCompiler extends AutoCloseable {
  /**
   * {@return bytes that a value takes in the layout chosen for it}
   *
   * @param value of the graph
   */
  long bytes(Value value);

  /**
   * {@return how the device carries operations out: each by itself, unless it runs some together}
   *
   * @param sections operations in an order in which they may run, those of a section together or
   *     not at all
   * @param kept values that lie in memory, whoever reads them
   */
  default List<List<Step>> steps(List<List<Op>> sections, Set<Value> kept) {
    return sections.stream()
        .map(
            ops ->
                ops.stream()
                    .map(op -> new Step(op.inputs(), op.outputs(), memory -> prepare(op, memory)))
                    .toList())
        .toList();
  }

  /**
   * {@return the kernel of an operation, ready to run}
   *
   * @param op of the graph
   * @param memory gives the place of each of its values
   * @throws IllegalArgumentException where the device has no kernel for it
   * @throws OutOfDeviceMemory where there is not enough for what the kernel holds
   */
  Kernel prepare(Op op, Function<Value, MemorySegment> memory);

  /**
   * Copies a value from host memory.
   *
   * @param value of the graph
   * @param host its elements, row-major, of its type
   * @param device its place
   */
  void upload(Value value, MemorySegment host, MemorySegment device);

  /**
   * Copies a value from host memory that stays as it is until a result of a later run has arrived,
   * so the device may copy it when it comes to it.
   *
   * @param value of the graph
   * @param host its elements, row-major, of its type
   * @param device its place
   */
  default void uploadLent(Value value, MemorySegment host, MemorySegment device) {
    upload(value, host, device);
  }

  /**
   * Copies a value to host memory.
   *
   * @param value of the graph
   * @param device its place
   * @param host room for its elements, row-major, of its type
   */
  void download(Value value, MemorySegment device, MemorySegment host);

  /**
   * {@return for each section one kernel that does what its kernels do, in as few calls as the
   * device allows}
   *
   * @param sections kernels in the order in which they run; the caller goes on to own them
   */
  default List<Kernel> whole(List<List<Kernel>> sections) {
    return sections.stream()
        .map(kernels -> (Kernel) () -> kernels.forEach(Kernel::launch))
        .toList();
  }

  /**
   * Begins to copy values to the host, behind everything launched so far.
   *
   * @param values f32 values of the graph
   * @param memory gives the place of each of them
   * @return their elements, once they have arrived
   */
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
    return Readback.of(result);
  }

  /**
   * Runs kernels in order, again and again, by the device's own clock where it has one.
   *
   * @param kernels of one pass, in order
   * @param passes how many, from 1 up; a device may spread them over fewer samples
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

  /**
   * {@return what the kernels prepared so far have the device carry out in a run; nothing on the
   * host}
   */
  default List<Launch> launches() {
    return List.of();
  }

  /** {@return bytes that kernels hold beside the values: scratch and packed weights} */
  long workspaceBytes();

  /** {@return kernels that run by an implementation known to be slow, one sentence each} */
  default List<String> slowKernels() {
    return List.of();
  }

  @Override
  void close();
}
