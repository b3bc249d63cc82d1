package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.backend.Step;
import io.fbnet.engine.cpu.ChunkedCpu;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Random graphs with their gradients: no two values that live at once share a byte. */
class PlannedProgramTest {
  private static final int GRAPHS = 12;
  private static final int BATCH = 5;

  /** Grows a graph from random operations on earlier values, and differentiates it. */
  private static Graph randomGraph(long seed) {
    Random random = new Random(seed);
    GraphBuilder b = new GraphBuilder();
    List<Value> values = new ArrayList<>();
    List<Value> parameters = new ArrayList<>();
    Value m = b.input("m", Type.F32, 1, 3);
    Value stem = parameter(b, "stem", 12, 3, 3, 3);
    parameters.add(stem);
    values.add(b.convolution(b.input("x", Type.F32, BATCH, 3, 6, 5), stem, 1, 1));
    int steps = 4 + random.nextInt(12);
    for (int i = 0; i < steps; i++) {
      Value x = values.get(random.nextInt(values.size()));
      Value other = values.get(random.nextInt(values.size()));
      Value third = values.get(random.nextInt(values.size()));
      values.add(
          switch (random.nextInt(8)) {
            case 0 -> convolution(b, parameters, x, "w" + i, 1, 1);
            case 1 -> convolution(b, parameters, x, "w" + i, 3, 12);
            case 2 -> convolution(b, parameters, x, "w" + i, 5, 12);
            case 3 -> b.channelShuffle(x, 3);
            case 4 -> b.sum(List.of(x, other));
            case 5 -> norm(b, parameters, x, "n" + i, true);
            case 6 -> norm(b, parameters, x, "n" + i, false);
            default -> b.weightedSum(List.of(x, other, third), m);
          });
    }
    // Every value takes part in the loss, so that every gradient is wanted.
    Value loss = b.mean(b.globalPool(b.sum(values)));
    b.output("loss", loss);
    b.output("middle", values.get(values.size() / 2));
    if (seed % 3 == 0) {
      // Gradients that pass through norms whose own nobody wants, as in a step of theta.
      parameters.removeIf(p -> p.shape().rank() == 1);
    }
    Map<Value, Value> gradients = Autodiff.gradients(b, loss, parameters);
    for (int i = 0; i < parameters.size(); i++) {
      b.output("gradient " + i, gradients.get(parameters.get(i)));
    }
    return b.build();
  }

  private static Value norm(
      GraphBuilder b, List<Value> parameters, Value x, String name, boolean relu) {
    Value gamma = parameter(b, name + " gamma", 12);
    Value beta = parameter(b, name + " beta", 12);
    parameters.add(gamma);
    parameters.add(beta);
    Value mean = b.parameter("statistics", name + " mean", false, new Initial.Constant(0), 12);
    Value variance =
        b.parameter("statistics", name + " variance", false, new Initial.Constant(1), 12);
    return b.batchNorm(x, gamma, beta, mean, variance, null, 1e-5f, relu);
  }

  private static Value convolution(
      GraphBuilder b, List<Value> parameters, Value x, String name, int k, int groups) {
    Value w = parameter(b, name, 12, 12 / groups, k, k);
    parameters.add(w);
    return b.convolution(x, w, 1, groups);
  }

  private static Value parameter(GraphBuilder b, String name, int... shape) {
    return b.parameter("weights", name, true, new Initial.Normal(1), shape);
  }

  /** First write and last use of each value that no storage holds. */
  private static Map<Value, int[]> lives(Graph graph, List<Step> ops) {
    Map<Value, int[]> lives = new LinkedHashMap<>();
    for (int i = 0; i < ops.size(); i++) {
      for (Value v : ops.get(i).outputs()) {
        if (!graph.storage().containsKey(v)) {
          lives.put(v, new int[] {i, graph.outputs().containsValue(v) ? ops.size() : i});
        }
      }
    }
    for (int i = 0; i < ops.size(); i++) {
      for (Value v : ops.get(i).inputs()) {
        if (lives.containsKey(v)) {
          lives.get(v)[1] = Math.max(lives.get(v)[1], i);
        }
      }
    }
    return lives;
  }

  private static void requireApart(Graph graph, Program program, String where) {
    Map<Value, int[]> lives = lives(graph, program.steps());
    for (Map.Entry<Value, int[]> a : lives.entrySet()) {
      for (Map.Entry<Value, int[]> b : lives.entrySet()) {
        boolean together = a.getValue()[0] <= b.getValue()[1] && b.getValue()[0] <= a.getValue()[1];
        if (together && !a.getKey().equals(b.getKey())) {
          assertTrue(
              program
                  .memoryOf(a.getKey())
                  .asOverlappingSlice(program.memoryOf(b.getKey()))
                  .isEmpty(),
              a.getKey() + " and " + b.getKey() + " share memory, " + where);
        }
      }
    }
    assertTrue(program.plannedBytes() <= program.naiveBytes(), where);
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu"})
  void valuesThatLiveAtOnceLieApart(String name) {
    assumeTrue(
        name.equals("reference") || CpuBackend.availability().found(),
        () -> CpuBackend.availability().remedy());
    try (Backend backend = name.equals("cpu") ? CpuBackend.open(2) : new ReferenceBackend()) {
      for (long seed = 1; seed <= GRAPHS; seed++) {
        Graph graph = randomGraph(seed);
        try (Instance instance = new Instance(backend, graph, seed)) {
          requireApart(graph, instance.program, name + ", seed " + seed);
        }
      }
    }
  }

  /**
   * The CPU shares memory otherwise than the reference and runs operations together, a few images
   * at a time: a wrong share, or a value that is gone when it is read, would show here. Chunks of
   * one image, of all, and a batch that is not divided at all.
   */
  @ParameterizedTest
  @CsvSource({"1, 1", "2, 1", "2, 6000", "2, 1000000", "8, 1000000"})
  void randomGraphsGiveTheSameGradientsEverywhere(int threads, long chunkBytes) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (Backend reference = new ReferenceBackend();
        Backend cpu = ChunkedCpu.open(threads, Precision.F32, chunkBytes)) {
      for (long seed = 1; seed <= GRAPHS; seed++) {
        Graph graph = randomGraph(seed);
        try (Instance expected = new Instance(reference, graph, seed);
            Instance actual = new Instance(cpu, graph, seed)) {
          expected.program.run();
          // Twice: a sum that is not begun anew would show.
          actual.program.run();
          actual.program.run();
          // Before a norm without ReLU a mean's gradient is zero but for rounding.
          double rounding = 0;
          for (String output : graph.outputs().keySet()) {
            rounding = Math.max(rounding, 1e-6 * largest(expected.program.read(output)));
          }
          for (String output : graph.outputs().keySet()) {
            float[] e = expected.program.read(output);
            float[] a = actual.program.read(output);
            double allowed =
                output.equals("middle") ? 1e-4 * largest(e) : 1e-3 * largest(e) + rounding;
            for (int i = 0; i < e.length; i++) {
              assertEquals(e[i], a[i], allowed, output + " [" + i + "], seed " + seed);
            }
          }
        }
      }
    }
  }

  private static double largest(float[] values) {
    double largest = 0;
    for (float v : values) {
      largest = Math.max(largest, Math.abs(v));
    }
    return largest;
  }

  @Test
  void theSameGraphIsPlannedAlike() {
    try (Backend reference = new ReferenceBackend();
        Instance one = new Instance(reference, randomGraph(3), 3);
        Instance other = new Instance(reference, randomGraph(3), 3)) {
      assertEquals(one.program.plannedBytes(), other.program.plannedBytes());
      for (Value v : lives(one.program.graph(), one.program.steps()).keySet()) {
        assertEquals(one.program.memoryOf(v).address(), other.program.memoryOf(v).address());
      }
    }
  }
}
