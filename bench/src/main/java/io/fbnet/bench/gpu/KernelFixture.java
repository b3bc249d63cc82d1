package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/** A graph of one operation whose inputs, parameters and gradients are random, ready to time. */
final class KernelFixture implements AutoCloseable {
  final Program program;
  private final ParameterStore store;

  KernelFixture(Backend backend, Graph graph) {
    store = new ParameterStore(backend, graph.parameters());
    for (String set : store.sets()) {
      try (Arena arena = Arena.ofConfined()) {
        long n = store.layout(set).size();
        store.load(set, Storage.Flat.VALUES, Noise.host(arena, n, 1));
        store.load(set, Storage.Flat.GRADIENTS, Noise.host(arena, n, 2));
      }
    }
    program = Program.compile(backend, graph, store);
    int seed = 3;
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      switch (entry.getValue()) {
        case Storage.Input input -> {
          try (Arena arena = Arena.ofConfined()) {
            long n = entry.getKey().shape().elements();
            MemorySegment host = Noise.host(arena, n, seed++);
            if (input.name().equals("variance")) {
              Noise.makePositive(host);
            }
            program.write(input.name(), host);
          }
        }
        // Rates are small, so that parameters stay finite however often an update runs.
        case Storage.Control control when entry.getKey().type() == Type.F32 ->
            program.set(control.name(), control.name().equals("finite") ? 1 : 1e-6);
        default -> {}
      }
    }
    backend.synchronise();
  }

  @Override
  public void close() {
    program.close();
    store.close();
  }
}
