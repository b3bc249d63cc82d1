package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Moving averages and sums over several steps, and smoothed labels, against plain arithmetic. */
class BlendTest {
  private static final long SEED = 20260410L;
  private static final int CLASSES = 5;
  private static final int FEATURES = 7;

  static List<String> devices() {
    return java.util.stream.Stream.concat(
            java.util.stream.Stream.of("reference", "cpu, 3 threads"), Devices.F32.stream())
        .toList();
  }

  private static Graph graph() {
    GraphBuilder b = new GraphBuilder();
    b.parameter("w", "first", true, new Initial.Normal(1), 37);
    b.parameter("w", "second", false, new Initial.Normal(1), 133);
    b.blend(
        "w",
        "average",
        Storage.Flat.VALUES,
        b.control("keep", Type.F32),
        b.control("share", Type.F32),
        b.control("finite", Type.F32));
    return b.build();
  }

  private static void load(ParameterStore store, float[] values) {
    try (Arena arena = Arena.ofConfined()) {
      store.load("w", Storage.Flat.VALUES, arena.allocateFrom(JAVA_FLOAT, values));
    }
  }

  private static float[] numbers(Random random, int n) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  @ParameterizedTest
  @MethodSource("devices")
  void averagesAsWrittenDown(String device) {
    Graph graph = graph();
    try (Backend backend = Devices.open(device);
        ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store)) {
      int n = (int) store.layout("w").size();
      Random random = new Random(SEED);
      double[] expected = new double[n];
      for (int step = 0; step < 6; step++) {
        // What the target held before the first step does not count, not even a NaN.
        double keep = step == 0 ? 0 : 0.9f;
        float[] values = numbers(random, n);
        if (step == 3) {
          values[n - 1] = Float.NaN;
        }
        boolean finite = step != 3;
        for (int i = 0; i < n && finite; i++) {
          expected[i] = keep * expected[i] + (1 - keep) * values[i];
        }
        load(store, values);
        program.set("keep", keep);
        program.set("share", 1 - keep);
        program.set("finite", finite ? 1.0 : 0.0);
        program.run();
        float[] actual = store.readAll("w", "average");
        for (int i = 0; i < n; i++) {
          assertEquals(expected[i], actual[i], 2e-6, device + " step " + step + "[" + i + "]");
        }
      }
      float[] broken = numbers(random, n);
      broken[0] = Float.NaN;
      load(store, broken);
      program.set("finite", 1.0);
      program.run();
      float[] whole = numbers(random, n);
      load(store, whole);
      program.set("keep", 0.0);
      program.set("share", 1.0);
      program.run();
      assertArrayEquals(whole, store.readAll("w", "average"), device);
    }
  }

  /** A linear classifier whose gradients are summed over parts of a batch. */
  private static Graph classifier(int batch) {
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, batch, FEATURES);
    Value labels = b.input("labels", Type.I32, batch);
    Value w = b.parameter("w", "w", true, new Initial.Normal(1), CLASSES, FEATURES);
    Value bias = b.parameter("w", "b", false, new Initial.Normal(1), CLASSES);
    Value loss = b.mean(b.crossEntropy(b.linear(x, w, bias), labels, 0.1f));
    b.output("loss", loss);
    Autodiff.gradients(b, loss, List.of(w, bias));
    b.blend(
        "w",
        "gathered",
        Storage.Flat.GRADIENTS,
        b.control("keep", Type.F32),
        b.control("share", Type.F32),
        b.fill(1, 1));
    return b.build();
  }

  private static float[] gathered(Backend backend, int parts, float[] x, int[] labels) {
    int batch = labels.length / parts;
    Graph graph = classifier(batch);
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      MemorySegment allX = arena.allocateFrom(JAVA_FLOAT, x);
      MemorySegment allLabels = arena.allocateFrom(JAVA_INT, labels);
      program.set("share", 1.0 / parts);
      for (int part = 0; part < parts; part++) {
        program.write("x", allX.asSlice(4L * part * batch * FEATURES, 4L * batch * FEATURES));
        program.write("labels", allLabels.asSlice(4L * part * batch, 4L * batch));
        program.set("keep", part == 0 ? 0.0 : 1.0);
        program.run();
      }
      return store.readAll("w", "gathered");
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void partsOfABatchAddUpToItsGradient(String device) {
    Random random = new Random(SEED);
    float[] x = numbers(random, 12 * FEATURES);
    int[] labels = random.ints(12, 0, CLASSES).toArray();
    try (Backend backend = Devices.open(device)) {
      float[] whole = gathered(backend, 1, x, labels);
      for (int parts : new int[] {2, 3, 6}) {
        // Sums of twelve terms below 1 in another order.
        assertArrayEquals(whole, gathered(backend, parts, x, labels), 2e-6f, device + " " + parts);
      }
    }
  }

  /** The definition with its target vector written out, in double. */
  @ParameterizedTest
  @ValueSource(floats = {0, 0.1f, 0.5f})
  void smoothedLossIsThatOfTheSmoothedTarget(float smoothing) {
    GraphBuilder b = new GraphBuilder();
    Value logits = b.input("logits", Type.F32, 3, CLASSES);
    Value loss = b.crossEntropy(logits, b.input("labels", Type.I32, 3), smoothing);
    b.output("loss", loss);
    Value dlogits = Autodiff.gradients(b, b.mean(loss), List.of(logits)).get(logits);
    b.output("dlogits", dlogits);
    float[] x = numbers(new Random(SEED), 3 * CLASSES);
    int[] labels = {4, 0, 2};
    try (Backend reference = new ReferenceBackend();
        ParameterStore store = new ParameterStore(reference, List.of());
        Program program = Program.compile(reference, b.build(), store);
        Arena arena = Arena.ofConfined()) {
      program.write("logits", arena.allocateFrom(JAVA_FLOAT, x));
      program.write("labels", arena.allocateFrom(JAVA_INT, labels));
      program.run();
      float[] losses = program.read("loss");
      float[] gradients = program.read("dlogits");
      for (int n = 0; n < 3; n++) {
        double total = 0;
        for (int i = 0; i < CLASSES; i++) {
          total += Math.exp(x[n * CLASSES + i]);
        }
        double expected = 0;
        for (int i = 0; i < CLASSES; i++) {
          double target = (double) smoothing / CLASSES + (i == labels[n] ? 1 - smoothing : 0);
          double p = Math.exp(x[n * CLASSES + i]) / total;
          expected -= target * Math.log(p);
          assertEquals((p - target) / 3, gradients[n * CLASSES + i], 1e-7, "row " + n);
        }
        assertEquals(expected, losses[n], 1e-6, "row " + n);
      }
    }
  }
}
