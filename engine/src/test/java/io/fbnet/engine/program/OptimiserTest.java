package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.fbnet.engine.backend.Backend;
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
import org.junit.jupiter.params.provider.ValueSource;

/** Several steps of each optimiser, against formulas written out here and against each other. */
class OptimiserTest {
  private static final long SEED = 20260104L;
  private static final float RATE = 0.05f;
  private static final float MOMENTUM = 0.9f;
  private static final float DECAY = 0.03f;

  private enum Rule {
    SGD,
    ADAM;

    List<String> buffers() {
      return this == SGD ? List.of("velocity") : List.of("first", "second");
    }
  }

  /** 37 decayed numbers of 48 and 63 others of 64: the border cuts a thread's share in two. */
  private static Graph graph(Rule rule) {
    GraphBuilder b = new GraphBuilder();
    b.parameter("w", "decayed", true, new Initial.Normal(1), 37);
    b.parameter("w", "spared", false, new Initial.Normal(1), 63);
    Value finite = b.allFinite(List.of(b.flat("w", Storage.Flat.GRADIENTS)));
    b.output("finite", finite);
    Value rate = b.control("rate", Type.F32);
    if (rule == Rule.SGD) {
      b.sgd("w", rate, finite, MOMENTUM, DECAY);
    } else {
      b.adam("w", rate, b.control("count", Type.F32), finite, 0.9f, 0.999f, 1e-8f, DECAY);
    }
    return b.build();
  }

  /** A store with its program, fed with the same gradients everywhere. */
  private static final class Run implements AutoCloseable {
    final ParameterStore store;
    final Program program;
    final Rule rule;

    Run(Backend backend, Rule rule) {
      Graph graph = graph(rule);
      this.rule = rule;
      store = new ParameterStore(backend, graph.parameters());
      program = Program.compile(backend, graph, store);
      store.initialise(SEED);
      program.set("rate", RATE);
    }

    /** One step; the gradient at {@code broken} is {@code planted}, unless that is negative. */
    void step(int number, int broken, float planted) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(store.layout("w").size() * 4, 64);
        store
            .layout("w")
            .entries()
            .forEach(
                e -> {
                  Random random = new Random(SEED + number + e.offset());
                  for (long i = 0; i < e.spec().shape().elements(); i++) {
                    host.setAtIndex(JAVA_FLOAT, e.offset() + i, (float) random.nextGaussian());
                  }
                });
        if (broken >= 0) {
          host.setAtIndex(JAVA_FLOAT, broken, planted);
        }
        store.load("w", Storage.Flat.GRADIENTS, host);
      }
      if (rule == Rule.ADAM) {
        program.set("count", (double) number);
      }
      program.run();
    }

    float[] all(String buffer) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(store.layout("w").size() * 4, 64);
        store.save("w", buffer, host);
        return host.toArray(JAVA_FLOAT);
      }
    }

    @Override
    public void close() {
      program.close();
      store.close();
    }
  }

  private static void agree(String device, Rule rule) {
    try (Backend reference = new ReferenceBackend();
        Backend other = Devices.open(device);
        Run expected = new Run(reference, rule);
        Run actual = new Run(other, rule)) {
      for (int step = 1; step <= 7; step++) {
        expected.step(step, -1, 0);
        actual.step(step, -1, 0);
      }
      String where = rule + ", " + device + ", seed " + SEED;
      assertArrayEquals(expected.all("values"), actual.all("values"), 2e-6f, where);
      for (String buffer : rule.buffers()) {
        assertArrayEquals(expected.all(buffer), actual.all(buffer), 2e-6f, where + " " + buffer);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"cpu, 1 thread", "cpu, 2 threads", "cpu, 3 threads", "cpu, 4 threads", "cuda"})
  void sgdAgreesWithReference(String device) {
    agree(device, Rule.SGD);
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu, 1 thread", "cpu, 2 threads", "cuda"})
  void adamAgreesWithReference(String device) {
    agree(device, Rule.ADAM);
  }

  /** The formulas of the operations' descriptions, in double. */
  @ParameterizedTest
  @ValueSource(strings = {"decayed", "spared"})
  void referenceFollowsTheFormulas(String tensor) {
    try (Backend reference = new ReferenceBackend();
        Run sgd = new Run(reference, Rule.SGD);
        Run adam = new Run(reference, Rule.ADAM)) {
      float[] start = sgd.store.read("w", "values", tensor);
      double[] w = new double[start.length];
      double[] v = new double[start.length];
      double[] u = new double[start.length];
      double[] m = new double[start.length];
      double[] q = new double[start.length];
      for (int i = 0; i < w.length; i++) {
        w[i] = start[i];
        u[i] = start[i];
      }
      for (int step = 1; step <= 4; step++) {
        sgd.step(step, -1, 0);
        adam.step(step, -1, 0);
        float[] g = sgd.store.read("w", Storage.Flat.GRADIENTS, tensor);
        for (int i = 0; i < w.length; i++) {
          double decayed = g[i] + (tensor.equals("decayed") ? DECAY * w[i] : 0);
          v[i] = MOMENTUM * v[i] + decayed;
          w[i] -= RATE * v[i];
          double coupled = g[i] + DECAY * u[i];
          m[i] = 0.9f * m[i] + (1 - 0.9f) * coupled;
          q[i] = 0.999f * q[i] + (1 - 0.999f) * coupled * coupled;
          double first = m[i] / (1 - Math.pow(0.9f, step));
          double second = q[i] / (1 - Math.pow(0.999f, step));
          u[i] -= RATE * first / (Math.sqrt(second) + 1e-8f);
        }
      }
      float[] sgdValues = sgd.store.read("w", "values", tensor);
      float[] adamValues = adam.store.read("w", "values", tensor);
      for (int i = 0; i < w.length; i++) {
        assertEquals(w[i], sgdValues[i], 1e-6, "SGD " + tensor + "[" + i + "], seed " + SEED);
        assertEquals(u[i], adamValues[i], 1e-6, "Adam " + tensor + "[" + i + "], seed " + SEED);
      }
    }
  }

  /** The last number of all, a middle one, and one beyond the last whole vector of a tensor. */
  @ParameterizedTest
  @ValueSource(ints = {0, 17, 36, 48, 110})
  void oneNumberThatIsNotFiniteStopsTheUpdate(int broken) {
    for (String device : List.of("reference", "cpu", "cpu, scalar", "cuda")) {
      try (Backend backend = Devices.open(device)) {
        for (Rule rule : Rule.values()) {
          for (float planted : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            refuses(backend, rule, broken, planted);
          }
        }
      }
    }
  }

  private static void refuses(Backend backend, Rule rule, int broken, float planted) {
    String where = backend.name() + " " + rule + " with " + planted + " at " + broken;
    try (Run run = new Run(backend, rule)) {
      run.step(1, -1, 0);
      assertEquals(1, run.program.scalar("finite"), where);
      float[] values = run.all("values");
      List<float[]> beside = rule.buffers().stream().map(run::all).toList();
      run.step(2, broken, planted);
      assertEquals(0, run.program.scalar("finite"), where);
      assertArrayEquals(values, run.all("values"), where);
      for (int i = 0; i < beside.size(); i++) {
        assertArrayEquals(beside.get(i), run.all(rule.buffers().get(i)), where);
      }
      run.step(3, -1, 0);
      assertEquals(1, run.program.scalar("finite"), where);
      assertFalse(java.util.Arrays.equals(values, run.all("values")), where);
    }
  }
}
