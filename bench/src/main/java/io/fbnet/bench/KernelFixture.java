package io.fbnet.bench;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Random;

/** A graph of a few kernels with random f32 inputs, ready to run. */
final class KernelFixture implements AutoCloseable {
  final Program program;
  private final ParameterStore store;

  KernelFixture(Backend backend, Graph graph) {
    store = new ParameterStore(backend, graph.parameters());
    store.initialise(1);
    program = Program.compile(backend, graph, store);
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      if (entry.getValue() instanceof Storage.Input input) {
        write(input.name(), entry.getKey().shape().elements());
      }
    }
  }

  private void write(String input, long elements) {
    Random random = new Random(input.hashCode());
    // Zeros and equal numbers would flatter a kernel; a short random period does not.
    float[] period = new float[4099];
    for (int i = 0; i < period.length; i++) {
      period[i] = (float) random.nextGaussian();
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(elements * Float.BYTES, 64);
      for (long i = 0; i < elements; i++) {
        host.setAtIndex(JAVA_FLOAT, i, period[(int) (i % period.length)]);
      }
      program.write(input, host);
    }
  }

  @Override
  public void close() {
    program.close();
    store.close();
  }
}
