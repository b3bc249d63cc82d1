package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Recompute;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Candidates that run side by side: the results of running them one by one, on random spaces. */
class CudaBankTest {
  private static final long SEED = 20261128L;
  private static final int SPACES = 24;
  private static final int VECTOR_SPACES = 12;

  private static CudaOptions options(Precision precision) {
    return new CudaOptions(precision, true, true, true);
  }

  /** Outputs of a step, and the running statistics that it leaves. */
  private static Map<String, float[]> results(Backend backend, Graph graph, long seed) {
    try (backend;
        Instance instance = new Instance(backend, graph, seed)) {
      instance.program.run();
      Map<String, float[]> results = new LinkedHashMap<>();
      graph.outputs().keySet().forEach(name -> results.put(name, instance.program.read(name)));
      if (instance.store.sets().contains("statistics")) {
        for (ParameterLayout.Entry e : instance.store.layout("statistics").entries()) {
          String name = e.spec().name();
          results.put(name, instance.store.read("statistics", Storage.Flat.VALUES, name));
        }
      }
      return results;
    }
  }

  /** The norm of the difference by the norm of what is expected. */
  private static double error(float[] expected, float[] actual) {
    double norm = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      norm += (double) expected[i] * expected[i];
      difference += Math.pow((double) expected[i] - actual[i], 2);
    }
    return difference == 0 ? 0 : Math.sqrt(difference / norm);
  }

  /** A gradient that nearly cancels is far from the reference either way. */
  private static void requireNear(
      Precision precision, String name, double of, double by, RandomSupernet net) {
    double anyway =
        switch (precision) {
          case F32 -> 1e-4;
          case TF32 -> 1e-2;
          case BF16 -> 5e-2;
        };
    assertTrue(
        of <= anyway + 10 * by,
        "%s by %s, %s apart, %s".formatted(name, of, by, net.description()));
  }

  private static double median(List<Double> values) {
    return values.stream().sorted().toList().get(values.size() / 2);
  }

  @ParameterizedTest
  @EnumSource(Precision.class)
  void sideBySideIsNoFartherFromTheReferenceThanOneByOne(Precision precision) {
    List<Double> together = new ArrayList<>();
    List<Double> apart = new ArrayList<>();
    int banks = 0;
    for (long seed = SEED; seed < SEED + SPACES; seed++) {
      RandomSupernet net = RandomSupernet.of(seed);
      Map<String, float[]> expected = results(new ReferenceBackend(), net.graph(), seed);
      Map<String, float[]> side = results(Devices.cuda(options(precision)), net.graph(), seed);
      Map<String, float[]> one =
          results(Devices.cuda(options(precision).separate()), net.graph(), seed);
      banks += banks(net.graph(), precision);
      for (String name : expected.keySet()) {
        double of = error(expected.get(name), side.get(name));
        double by = error(expected.get(name), one.get(name));
        requireNear(precision, name, of, by, net);
        together.add(of);
        apart.add(by);
      }
    }
    assertTrue(banks > SPACES / 2, banks + " banks");
    assertTrue(
        median(together) > 0 && median(together) < 1.2 * median(apart),
        median(together) + " instead of " + median(apart) + ", seeds from " + SEED);
    System.out.println(
        "%d banks of %d random spaces in %s: median error %.2g, one by one %.2g, seeds from %d"
            .formatted(banks, SPACES, precision, median(together), median(apart), SEED));
  }

  /** Channels of whole vectors take our own products, and are as near to the reference. */
  @Test
  void ourProductsAreNoFartherFromTheReferenceThanOneByOne() {
    List<Double> together = new ArrayList<>();
    List<Double> apart = new ArrayList<>();
    long statistics = 0;
    long normalised = 0;
    for (long seed = SEED; seed < SEED + VECTOR_SPACES; seed++) {
      RandomSupernet net = RandomSupernet.ofVectors(seed);
      CudaOptions bf16 = options(Precision.BF16);
      Map<String, float[]> expected = results(new ReferenceBackend(), net.graph(), seed);
      Map<String, float[]> side = results(Devices.cuda(bf16), net.graph(), seed);
      Map<String, float[]> one = results(Devices.cuda(bf16.separate()), net.graph(), seed);
      try (Backend backend = Devices.cuda(bf16);
          Instance instance = new Instance(backend, net.graph(), seed)) {
        long banks = count(instance.program, "bank_forward");
        long last = count(instance.program, "bank_product_normalised");
        assertEquals(banks, last, net.description());
        normalised += last;
        long gradients = count(instance.program, "bank_product_gradient");
        assertEquals(count(instance.program, "bank_apply"), gradients, net.description());
        // Its channels are few enough for what goes on from the gradient's sums.
        assertEquals(gradients, count(instance.program, "project_gradient"), net.description());
        statistics += count(instance.program, "bank_product") - last - gradients;
        assertTrue(statistics >= normalised, net.description());
      }
      for (String name : expected.keySet()) {
        double of = error(expected.get(name), side.get(name));
        double by = error(expected.get(name), one.get(name));
        requireNear(Precision.BF16, name, of, by, net);
        together.add(of);
        apart.add(by);
      }
    }
    assertTrue(normalised > VECTOR_SPACES / 2, normalised + " banks");
    assertTrue(
        median(together) > 0 && median(together) < 1.2 * median(apart),
        median(together) + " instead of " + median(apart) + ", seeds from " + SEED);
    System.out.println(
        "%d banks of %d random spaces by our own products: median error %.2g, one by one %.2g, seeds from %d"
            .formatted(normalised, VECTOR_SPACES, median(together), median(apart), SEED));
  }

  /** An older device has no bf16 on its tensor cores: the library does all, and it is said once. */
  @Test
  void anOlderDeviceDoesWithoutOurProducts() {
    assumeTrue(SoftwareCuda.present(), "only the software device has the age that one likes");
    Graph graph = RandomSupernet.ofVectors(SEED).graph();
    SoftwareCuda.reset();
    SoftwareCuda.capability(75);
    List<String> notes = new ArrayList<>();
    Path cache = Path.of(System.getProperty("java.io.tmpdir"), "fbnet-test-kernels");
    Map<String, float[]> old;
    try {
      CudaBackend backend = CudaBackend.open(options(Precision.BF16), cache, notes::add);
      try (Instance instance = new Instance(backend, graph, SEED)) {
        assertTrue(count(instance.program, "bank_forward") > 0);
        assertEquals(0, count(instance.program, "bank_product"));
      }
      old = results(backend, graph, SEED);
    } finally {
      SoftwareCuda.reset();
    }
    assertEquals(1, notes.size(), notes.toString());
    assertTrue(notes.getFirst().contains("compute capability 7.5"), notes.getFirst());
    Map<String, float[]> expected = results(new ReferenceBackend(), graph, SEED);
    assertTrue(error(expected.get("loss"), old.get("loss")) < 0.05);
  }

  private static int banks(Graph graph, Precision precision) {
    try (Backend backend = Devices.cuda(options(precision));
        Instance instance = new Instance(backend, graph, SEED)) {
      return (int) count(instance.program, "bank_forward");
    }
  }

  private static long count(Program program, String kernel) {
    return program.launches().stream().map(Launch::call).filter(c -> c.startsWith(kernel)).count();
  }

  @Test
  void leanStepsAreTheSameBits() {
    for (long seed = SEED; seed < SEED + SPACES; seed++) {
      RandomSupernet net = seed % 2 == 0 ? RandomSupernet.of(seed) : RandomSupernet.ofVectors(seed);
      Map<String, float[]> normal =
          results(Devices.cuda(options(Precision.BF16)), net.graph(), seed);
      Graph lean = Recompute.insideCandidates(net.graph());
      Map<String, float[]> twice = results(Devices.cuda(options(Precision.BF16)), lean, seed);
      assertEquals(normal.keySet(), twice.keySet());
      for (String name : normal.keySet()) {
        assertArrayEquals(normal.get(name), twice.get(name), name + ", " + net.description());
      }
    }
  }

  /** Candidates with another activation or with squeeze-and-excitation run beside a bank. */
  @Test
  void otherActivationsRunBesideABank() {
    int banks = 0;
    for (long seed = SEED; seed < SEED + VECTOR_SPACES / 2; seed++) {
      RandomSupernet net = RandomSupernet.ofActivations(seed);
      Map<String, float[]> expected = results(new ReferenceBackend(), net.graph(), seed);
      CudaOptions f32 = options(Precision.F32);
      Map<String, float[]> side = results(Devices.cuda(f32), net.graph(), seed);
      Map<String, float[]> one = results(Devices.cuda(f32.separate()), net.graph(), seed);
      banks += banks(net.graph(), Precision.F32);
      for (String name : expected.keySet()) {
        double of = error(expected.get(name), side.get(name));
        double by = error(expected.get(name), one.get(name));
        requireNear(Precision.F32, name, of, by, net);
      }
    }
    assertTrue(banks > 1, banks + " banks, seeds from " + SEED);
  }

  /** Where something else reads what a bank would not write, the layer stays as it is. */
  @Test
  void aLayerThatIsLookedIntoIsLeftAlone() {
    Graph graph = SmallSupernet.of(5, true, SmallSupernet.Update.NONE).graph();
    Value inner =
        graph.ops().stream()
            .filter(op -> op instanceof Op.Convolution c && c.groups() > 2)
            .map(op -> op.outputs().getFirst())
            .findFirst()
            .orElseThrow();
    Map<String, Value> outputs = new LinkedHashMap<>(graph.outputs());
    outputs.put("inner", inner);
    Graph open = new Graph(graph.ops(), graph.storage(), graph.parameters(), outputs);
    assertEquals(2, banks(graph, Precision.F32));
    assertEquals(1, banks(open, Precision.F32));
    Map<String, float[]> expected = results(new ReferenceBackend(), open, SEED);
    Map<String, float[]> actual = results(Devices.cuda(options(Precision.F32)), open, SEED);
    assertTrue(error(expected.get("inner"), actual.get("inner")) < 1e-5);
    assertTrue(error(expected.get("loss"), actual.get("loss")) < 1e-5);
  }

  @Test
  void aLayerTakesFewCallsWhateverItsCandidates() {
    Graph graph = SmallSupernet.of(5, false, SmallSupernet.Update.BOTH_OPTIMISERS).graph();
    try (Backend side = Devices.cuda(options(Precision.F32));
        Backend one = Devices.cuda(options(Precision.F32).separate());
        Instance together = new Instance(side, graph, SEED);
        Instance apart = new Instance(one, graph, SEED)) {
      assertEquals(2, count(together.program, "bank_forward"));
      assertTrue(together.program.calls() < apart.program.calls());
      assertTrue(together.program.plannedBytes() < apart.program.plannedBytes());
    }
  }
}
