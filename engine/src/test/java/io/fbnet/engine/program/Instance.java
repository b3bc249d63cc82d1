package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.UnaryOperator;

/** A graph compiled for one back end with the same random numbers everywhere. */
final class Instance implements AutoCloseable {
  final ParameterStore store;
  final Program program;

  private final UnaryOperator<Float> rounding;

  Instance(Backend backend, Graph graph, long seed) {
    this(backend, graph, seed, x -> x);
  }

  /** With every random number rounded to what a device can hold. */
  Instance(Backend backend, Graph graph, long seed, UnaryOperator<Float> rounding) {
    this.rounding = rounding;
    store = new ParameterStore(backend, graph.parameters());
    try {
      program = Program.compile(backend, graph, store);
    } catch (RuntimeException e) {
      store.close();
      throw e;
    }
    try {
      fill(graph, seed);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private void fill(Graph graph, long seed) {
    Random random = new Random(seed);
    try (Arena arena = Arena.ofConfined()) {
      for (String set : store.sets().stream().sorted().toList()) {
        ParameterLayout layout = store.layout(set);
        MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
        for (ParameterLayout.Entry e : layout.entries()) {
          for (long i = 0; i < e.spec().shape().elements(); i++) {
            float v = (float) random.nextGaussian();
            boolean variance = e.spec().name().endsWith("variance");
            host.setAtIndex(
                JAVA_FLOAT, e.offset() + i, rounding.apply(variance ? 0.5f + v * v : v));
          }
        }
        store.load(set, Storage.Flat.VALUES, host);
      }
      for (Map.Entry<Value, Storage> e :
          graph.storage().entrySet().stream()
              .sorted(java.util.Comparator.comparingInt(s -> s.getKey().id()))
              .toList()) {
        write(arena, random, e.getKey(), e.getValue());
      }
    }
  }

  private void write(Arena arena, Random random, Value v, Storage storage) {
    switch (storage) {
      case Storage.Input input -> {
        MemorySegment host = arena.allocate(v.shape().elements() * v.type().bytes(), 64);
        for (long i = 0; i < v.shape().elements(); i++) {
          if (v.type() == Type.U8) {
            host.set(JAVA_BYTE, i, (byte) random.nextInt());
          } else if (input.name().equals("windows")) {
            // Down and right up to 4 pixels each way, mirrored or not.
            host.setAtIndex(JAVA_INT, i, i % 3 == 2 ? random.nextInt(2) : random.nextInt(9) - 4);
          } else if (v.type() == Type.I32) {
            host.setAtIndex(JAVA_INT, i, random.nextInt(5));
          } else {
            float x = (float) random.nextGaussian();
            float number =
                switch (input.name()) {
                  case "positive" -> 1.25f + Math.abs(x);
                  // Beyond both corners of a hard sigmoid.
                  case "wide" -> 4 * x;
                  default -> x;
                };
            host.setAtIndex(JAVA_FLOAT, i, rounding.apply(number));
          }
        }
        program.write(input.name(), host);
      }
      case Storage.Control control when v.type() == Type.I64 ->
          program.set(control.name(), control.name().equals("seed") ? -77L : 123456789012L);
      case Storage.Control control -> program.set(control.name(), 0.7);
      default -> {}
    }
  }

  @Override
  public void close() {
    program.close();
    store.close();
  }

  /** A value as the reference keeps it, unrounded. */
  static double[] doubles(Program program, Value v) {
    double[] result = new double[Math.toIntExact(v.shape().elements())];
    MemorySegment.copy(program.memoryOf(v), JAVA_DOUBLE, 0, result, 0, result.length);
    return result;
  }

  /** Every output's bits after each of three steps of both optimisers. */
  List<Map<String, List<Integer>>> threeSteps() {
    List<Map<String, List<Integer>>> bits = new ArrayList<>();
    for (int step = 1; step <= 3; step++) {
      program.set("step", (long) step);
      program.set("count", (double) step);
      program.set("rate", 0.01);
      program.run();
      bits.add(bits());
    }
    return bits;
  }

  /** The bits of every output, which the equality of floats would not tell apart. */
  Map<String, List<Integer>> bits() {
    Map<String, List<Integer>> bits = new TreeMap<>();
    for (String name : program.graph().outputs().keySet()) {
      List<Integer> words = new ArrayList<>();
      for (float v : program.read(name)) {
        words.add(Float.floatToRawIntBits(v));
      }
      bits.put(name, words);
    }
    return bits;
  }
}
