package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.graph.AcrossRanks;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Recompute;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that share a batch do what one does with all of it. */
class RanksTest {
  private static final int BATCH = 6;
  private static final int STEPS = 20;
  private static final int FEW_STEPS = 6;
  private static final long SEED = 20261128;
  private static final int IMAGE = 3 * 7 * 7;

  /** All values of each set after the last step, and loss and flag of each step. */
  record End(List<float[]> sets, List<Float> results) {}

  private static Backend open(String name, Communicator ranks) {
    return open(name, ranks, note -> {});
  }

  static Backend open(String name, Communicator ranks, Consumer<String> notes) {
    if (name.equals("reference")) {
      return new ReferenceBackend(ranks);
    }
    if (name.equals("cuda")) {
      assumeTrue(CudaBackend.obstacle().isEmpty(), CudaBackend.obstacle());
      return CudaBackend.open(
          new CudaOptions(Precision.F32, true, true, true),
          Path.of(System.getProperty("java.io.tmpdir"), "fbnet-test-kernels"),
          notes,
          ranks);
    }
    assumeTrue(CpuBackend.availability().found(), "oneDNN was not found");
    return CpuBackend.open(
        name.equals("cpu 2") ? 2 : 1,
        name.equals("cpu bf16") ? Precision.BF16 : Precision.F32,
        ranks);
  }

  /** Steps by this rank's share of the images; in one of them an image may be no number. */
  private static End train(
      String device,
      Communicator ranks,
      boolean noisePerImage,
      boolean norms,
      int steps,
      int broken) {
    try (Backend backend = open(device, ranks)) {
      return train(backend, noisePerImage, norms, steps, broken, step -> {});
    }
  }

  /**
   * The same on a back end.
   *
   * @param before told the number of each step, from 1, before it begins
   */
  static End train(
      Backend backend,
      boolean noisePerImage,
      boolean norms,
      int steps,
      int broken,
      IntConsumer before) {
    Communicator ranks = backend.communicator();
    int batch = BATCH / ranks.size();
    Graph whole =
        SmallSupernet.of(batch, noisePerImage, SmallSupernet.Update.BOTH_OPTIMISERS).graph();
    Graph graph = AcrossRanks.share(whole, ranks.rank(), norms);
    Random random = new Random(SEED);
    List<Float> results = new ArrayList<>();
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      MemorySegment images = arena.allocate(JAVA_FLOAT, BATCH * IMAGE);
      MemorySegment labels = arena.allocate(JAVA_INT, BATCH);
      program.set("momentum", 0.1);
      program.set("tau", 0.9);
      program.set("seed", SEED);
      program.set("rate", 0.02);
      for (int step = 1; step <= steps; step++) {
        before.accept(step);
        for (int i = 0; i < BATCH * IMAGE; i++) {
          images.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
        }
        for (int i = 0; i < BATCH; i++) {
          labels.setAtIndex(JAVA_INT, i, random.nextInt(5));
        }
        if (step == broken) {
          // Of the last image, which only one rank has.
          images.setAtIndex(JAVA_FLOAT, (BATCH - 1) * IMAGE + 5, Float.NaN);
        }
        int first = ranks.rank() * batch;
        program.write(
            "images",
            images.asSlice((long) first * IMAGE * Float.BYTES, (long) batch * IMAGE * Float.BYTES));
        program.write(
            "labels", labels.asSlice((long) first * Integer.BYTES, (long) batch * Integer.BYTES));
        program.set("step", (long) step);
        program.set("count", (double) step);
        program.run();
        results.add(program.scalar("loss"));
        results.add(program.scalar("finite"));
      }
      List<float[]> sets = new ArrayList<>();
      for (String set : store.sets()) {
        sets.add(store.readAll(set, Storage.Flat.VALUES));
      }
      return new End(sets, results);
    }
  }

  private static double apart(float[] expected, float[] actual) {
    double error = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = (double) expected[i] - actual[i];
      error += d * d;
      norm += (double) expected[i] * expected[i];
    }
    return Math.sqrt(error / norm);
  }

  static void assertEqualBits(List<End> ends) {
    for (End end : ends) {
      assertEquals(ends.getFirst().results(), end.results());
      for (int s = 0; s < end.sets().size(); s++) {
        assertArrayEquals(ends.getFirst().sets().get(s), end.sets().get(s), "set " + s);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "reference, 2, false, 1e-6",
    "reference, 3, true, 1e-6",
    "cpu, 2, true, 2e-4",
    "cpu, 3, false, 2e-4",
    "cpu 2, 3, true, 2e-4",
    "cuda, 2, true, 2e-4",
    "cuda, 3, false, 2e-4"
  })
  void withNormsOverRanksTheyFollowOne(
      String device, int size, boolean noisePerImage, double tolerance) throws Exception {
    End one = train(device, Communicator.alone(), noisePerImage, true, STEPS, 0);
    List<End> ends =
        ThreadRanks.run(size, ranks -> train(device, ranks, noisePerImage, true, STEPS, 0));
    assertEqualBits(ends);
    for (int s = 0; s < one.sets().size(); s++) {
      double apart = apart(one.sets().get(s), ends.getFirst().sets().get(s));
      System.out.printf("%s, %d ranks, set %d: %.2g apart%n", device, size, s, apart);
      assertTrue(apart <= tolerance, "set " + s + ": " + apart);
    }
    for (int i = 0; i < one.results().size(); i++) {
      assertEquals(one.results().get(i), ends.getFirst().results().get(i), 3e-4f, "result " + i);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu bf16", "cuda"})
  void withNormsOfTheirOwnTheyStayEqual(String device) throws Exception {
    List<End> ends = ThreadRanks.run(3, ranks -> train(device, ranks, true, false, FEW_STEPS, 0));
    assertEqualBits(ends);
    List<End> again = ThreadRanks.run(3, ranks -> train(device, ranks, true, false, FEW_STEPS, 0));
    assertEqualBits(List.of(ends.getFirst(), again.getFirst()));
    // Norms of two images are not those of six.
    End one = train(device, Communicator.alone(), true, false, FEW_STEPS, 0);
    double apart = apart(one.sets().getFirst(), ends.getFirst().sets().getFirst());
    assertTrue(apart > 1e-3, "only " + apart);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void whatIsNoNumberOnOneRankMovesNone(boolean norms) throws Exception {
    List<End> ends =
        ThreadRanks.run(3, ranks -> train("cpu", ranks, false, norms, FEW_STEPS, FEW_STEPS));
    List<End> before = ThreadRanks.run(3, ranks -> train("cpu", ranks, false, norms, FEW_STEPS, 0));
    for (End end : ends) {
      assertEquals(0f, end.results().getLast());
      assertEquals(1f, end.results().get(end.results().size() - 3));
    }
    for (int s = 0; s < 2; s++) {
      float[] stopped = ends.getFirst().sets().get(s);
      for (float v : stopped) {
        assertTrue(Float.isFinite(v) || s == 1, "set " + s);
      }
    }
    assertEquals(1f, before.getFirst().results().getLast());
  }

  @Test
  void aLeanStepIsTheSame() throws Exception {
    List<float[]> losses =
        ThreadRanks.run(
            2,
            ranks -> {
              Graph graph = SmallSupernet.of(3, true, SmallSupernet.Update.BOTH_OPTIMISERS).graph();
              float[] found = new float[2];
              for (int lean = 0; lean < 2; lean++) {
                Graph share = AcrossRanks.share(graph, ranks.rank(), true);
                Graph run = lean == 0 ? share : Recompute.insideCandidates(share);
                try (Backend backend = open("cpu", ranks);
                    Instance instance = new Instance(backend, run, SEED + ranks.rank())) {
                  instance.program.run();
                  found[lean] = instance.program.scalar("loss");
                }
              }
              return found;
            });
    assertEquals(losses.get(0)[0], losses.get(0)[1]);
    assertEquals(losses.get(0)[0], losses.get(1)[0]);
  }

  /** Outputs and running statistics of one norm over ranks, of numbers of each rank's own. */
  private static List<float[]> norm(String device, Communicator ranks) {
    GraphBuilder b = new GraphBuilder();
    int channels = 3;
    Value x = b.input("x", Type.F32, 2, channels, 3, 3);
    Value y =
        b.batchNorm(
            x,
            b.parameter("weights", "gamma", false, new Initial.Constant(1), channels),
            b.parameter("weights", "beta", false, new Initial.Constant(0), channels),
            b.parameter("statistics", "mean", false, new Initial.Constant(0), channels),
            b.parameter("statistics", "variance", false, new Initial.Constant(1), channels),
            b.control("momentum", Type.F32),
            1e-5f,
            false);
    b.output("y", y);
    Graph graph = AcrossRanks.share(b.build(), ranks.rank(), true);
    Random random = new Random(SEED + ranks.rank());
    try (Backend backend = open(device, ranks);
        ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      MemorySegment host = arena.allocate(JAVA_FLOAT, x.shape().elements());
      for (int i = 0; i < x.shape().elements(); i++) {
        double own = random.nextGaussian() + 2 * ranks.rank();
        double[] of = {3, 1000 + own, (1 + ranks.rank()) * own};
        host.setAtIndex(JAVA_FLOAT, i, (float) of[i / 9 % channels]);
      }
      program.write("x", host);
      program.set("momentum", 0.25);
      program.run();
      return List.of(program.read("y"), store.readAll("statistics", Storage.Flat.VALUES));
    }
  }

  /** Of channels one that does not vary and one whose mean is large beside what it varies by. */
  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda"})
  void statisticsOverRanksDoNotCancel(String device) throws Exception {
    List<List<float[]>> expected = ThreadRanks.run(2, ranks -> norm("reference", ranks));
    List<List<float[]>> found = ThreadRanks.run(2, ranks -> norm(device, ranks));
    for (int r = 0; r < 2; r++) {
      for (int part = 0; part < 2; part++) {
        float[] want = expected.get(r).get(part);
        for (int i = 0; i < want.length; i++) {
          float tolerance = 3e-4f * Math.max(1, Math.abs(want[i]));
          assertEquals(want[i], found.get(r).get(part)[i], tolerance, part + " " + i + ", " + SEED);
        }
      }
    }
    assertArrayEquals(found.get(0).get(1), found.get(1).get(1));
  }
}
