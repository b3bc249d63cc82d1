package io.fbnet.nas.measure;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.latency.Statistics;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** A compiled program, its input filled, and the times it took in units that the caller gives. */
final class TimedProgram implements AutoCloseable {
  private static final SteadyWarmUp WARM_UP = new SteadyWarmUp(3, 1.05, 15, 3, 2000);
  private static final double FIRST_WARM_UP_MS = 500;
  private static final long ROUND_NANOS = 8_000_000L;
  private static final int LEAST_RUNS = 3;
  private static final int MOST_RUNS = 200;

  private final ParameterStore store;
  private final Program program;
  private final Arena arena = Arena.ofConfined();
  private final Map<String, MemorySegment> inputs = new LinkedHashMap<>();
  private final List<Double> warm = new ArrayList<>();
  private final List<Double> cold = new ArrayList<>();

  TimedProgram(Backend backend, Graph graph) {
    store = new ParameterStore(backend, graph.parameters());
    store.initialise(1);
    program = Program.compileFixed(backend, graph, store);
    Random random = new Random(1);
    for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
      if (entry.getValue() instanceof Storage.Input input) {
        long n = entry.getKey().shape().elements();
        MemorySegment host = arena.allocate(n * Float.BYTES, 64);
        for (long i = 0; i < n; i++) {
          host.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
        }
        inputs.put(input.name(), host);
        program.write(input.name(), host);
      }
    }
  }

  /**
   * Runs until the times are steady.
   *
   * @param first whether Java has run few programs before
   */
  void warmUp(boolean first) {
    WARM_UP.run(program::time, first ? FIRST_WARM_UP_MS : 0, System::nanoTime);
  }

  /**
   * One run with its input just written, as by the layer before it.
   *
   * @param unit ms
   */
  void once(double unit) {
    inputs.forEach(program::write);
    cold.add(program.time(1)[0] / unit);
  }

  /**
   * Runs in a row.
   *
   * @param unit ms
   */
  void round(double unit) {
    double first = program.time(1)[0];
    int runs = (int) Math.clamp(ROUND_NANOS / 1e6 / first, LEAST_RUNS, MOST_RUNS);
    for (double ms : program.time(runs)) {
      warm.add(ms / unit);
    }
  }

  /** The median of a few runs in ms, which are not kept; the first fill the near caches. */
  double glance() {
    program.time(LEAST_RUNS);
    return Statistics.median(program.time(LEAST_RUNS));
  }

  /** Runs in a row, in units. */
  double[] warm() {
    return warm.stream().mapToDouble(Double::doubleValue).toArray();
  }

  /** Runs of {@link #once}, in units. */
  double[] cold() {
    return cold.stream().mapToDouble(Double::doubleValue).toArray();
  }

  @Override
  public void close() {
    if (!arena.scope().isAlive()) {
      return;
    }
    program.close();
    store.close();
    arena.close();
  }
}
