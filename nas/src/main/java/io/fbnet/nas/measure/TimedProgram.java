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
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** A compiled program, its input filled, and the times it took in milliseconds. */
final class TimedProgram implements AutoCloseable {
  private static final int STEADY_WINDOWS = 3;
  private static final double STEADY_RATIO = 1.05;
  private static final long WINDOW_NANOS = 15_000_000L;
  private static final long FIRST_WARM_UP_NANOS = 500_000_000L;
  private static final long LONGEST_WARM_UP_NANOS = 2_000_000_000L;
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
   * Runs until three windows in a row take the same time: Java compiles what runs often step by
   * step, and its first forms are many times slower.
   *
   * @param first whether Java has run few programs before: those wait long on a plateau for the
   *     last form
   */
  void warmUp(boolean first) {
    long least = first ? FIRST_WARM_UP_NANOS : 0;
    long start = System.nanoTime();
    double[] last = new double[STEADY_WINDOWS];
    for (int window = 0; ; window++) {
      last[window % STEADY_WINDOWS] = windowMedian();
      double[] sorted = last.clone();
      Arrays.sort(sorted);
      boolean steady =
          window + 1 >= STEADY_WINDOWS && sorted[STEADY_WINDOWS - 1] <= STEADY_RATIO * sorted[0];
      long passed = System.nanoTime() - start;
      if (steady && passed > least || passed > LONGEST_WARM_UP_NANOS) {
        return;
      }
    }
  }

  private double windowMedian() {
    long start = System.nanoTime();
    List<Double> window = new ArrayList<>();
    do {
      for (double ms : program.time(LEAST_RUNS)) {
        window.add(ms);
      }
    } while (System.nanoTime() - start < WINDOW_NANOS);
    return Statistics.median(window.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /** One run with its input just written, as by the layer before it. */
  void once() {
    inputs.forEach(program::write);
    cold.add(program.time(1)[0]);
  }

  /** Runs in a row. */
  void round() {
    double first = program.time(1)[0];
    int runs = (int) Math.clamp(ROUND_NANOS / 1e6 / first, LEAST_RUNS, MOST_RUNS);
    for (double ms : program.time(runs)) {
      warm.add(ms);
    }
  }

  /** Milliseconds of runs in a row. */
  double[] warm() {
    return warm.stream().mapToDouble(Double::doubleValue).toArray();
  }

  /** Milliseconds of {@link #once}. */
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
