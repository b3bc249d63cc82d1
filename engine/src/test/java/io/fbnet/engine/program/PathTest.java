package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Recompute;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A program with choices does what the program of the path that it is asked for would do. */
class PathTest {
  private static final long SEED = 20261128L;

  /** Losses of each step and all numbers after the last. */
  private record Course(List<Float> losses, Map<String, float[]> values) {}

  private static List<int[]> paths() {
    Random random = new Random(SEED);
    List<int[]> paths = new ArrayList<>();
    for (int step = 0; step < 5; step++) {
      int[] path = new int[SmallPaths.ALTERNATIVES.length];
      for (int l = 0; l < path.length; l++) {
        path[l] = random.nextInt(SmallPaths.ALTERNATIVES[l]);
      }
      paths.add(path);
    }
    return paths;
  }

  private static void write(Program program, Arena arena) {
    Random random = new Random(SEED);
    int pixels = SmallPaths.BATCH * 3 * 7 * 7;
    MemorySegment images = arena.allocate(pixels * (long) Float.BYTES, 64);
    for (int i = 0; i < pixels; i++) {
      images.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    MemorySegment labels = arena.allocate(SmallPaths.BATCH * (long) Integer.BYTES, 64);
    for (int i = 0; i < SmallPaths.BATCH; i++) {
      labels.setAtIndex(JAVA_INT, i, random.nextInt(SmallPaths.CLASSES));
    }
    program.write("images", images);
    program.write("labels", labels);
    program.set("momentum", 0.1);
    program.set("rate", 0.05);
  }

  private static Map<String, float[]> values(ParameterStore store) {
    Map<String, float[]> values = new LinkedHashMap<>();
    for (String set : store.sets()) {
      values.put(set, store.readAll(set, Storage.Flat.VALUES));
    }
    return values;
  }

  /** Each path by a program of its own, on the parameters of all. */
  private static Course apart(Backend backend) {
    List<Float> losses = new ArrayList<>();
    try (ParameterStore store = new ParameterStore(backend, SmallPaths.all().parameters());
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      for (int[] path : paths()) {
        try (Program program = Program.compile(backend, SmallPaths.only(path), store)) {
          write(program, arena);
          program.run();
          losses.add(program.scalar("loss"));
        }
      }
      return new Course(losses, values(store));
    }
  }

  private static Course together(Backend backend, Graph graph) {
    List<Float> losses = new ArrayList<>();
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      write(program, arena);
      for (int[] path : paths()) {
        program.run(Op.Phase.FIRST, path);
        losses.add(program.scalar("loss"));
        assertEquals(1, program.scalar("finite"));
        program.run(SmallPaths.UPDATE, path);
      }
      return new Course(losses, values(store));
    }
  }

  private static void requireNear(String what, Course expected, Course actual, double tolerance) {
    for (int i = 0; i < expected.losses().size(); i++) {
      float loss = expected.losses().get(i);
      assertEquals(loss, actual.losses().get(i), tolerance * loss, what + ", loss of step " + i);
    }
    expected
        .values()
        .forEach(
            (set, values) -> {
              float largest = 0;
              for (float v : values) {
                largest = Math.max(largest, Math.abs(v));
              }
              assertArrayEquals(
                  values, actual.values().get(set), (float) tolerance * largest, what + ", " + set);
            });
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "reference | 0",
        "cpu, 2 threads | 1e-4",
        "cpu, 1 thread | 1e-4",
        "cpu, scalar | 1e-4",
        "cpu bf16 | 0.1",
        "cuda | 1e-4",
        "cuda deterministic | 1e-4",
        "cuda, lazy | 1e-4",
        "cuda tf32 | 2e-2",
        "cuda bf16 deterministic | 0.1"
      })
  void runsOfOneProgramAreThoseOfEachPathsOwn(String device, double tolerance) {
    String what = device + ", seed " + SEED;
    Course expected;
    try (Backend reference = new ReferenceBackend()) {
      expected = apart(reference);
    }
    try (Backend backend = Devices.open(device)) {
      Course actual = together(backend, SmallPaths.all());
      requireNear(what, expected, actual, tolerance);
      Course lean = together(backend, Recompute.insideCandidates(SmallPaths.all()));
      boolean equalBits = !device.startsWith("cuda") || device.endsWith("deterministic");
      requireNear(what + ", lean", actual, lean, equalBits ? 0 : tolerance);
    }
  }

  @Test
  void whatNoRunNeedsAtOnceLiesInOnePlace() {
    try (Backend backend = Devices.open("cpu")) {
      long largest = planned(backend, SmallPaths.only(new int[] {0, 0, 1}));
      long all = planned(backend, SmallPaths.all());
      // What crosses from layer to layer cannot be made anew in the stage that reads it.
      assertTrue(all < 1.5 * largest, all + " bytes, and " + largest + " of the largest path");
      long lean = planned(backend, Recompute.insideCandidates(SmallPaths.all()));
      assertTrue(lean < all, lean + " bytes lean, " + all + " not");
    }
  }

  private static long planned(Backend backend, Graph graph) {
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store)) {
      return program.plannedBytes();
    }
  }

  @Test
  void aPathThatIsNoneIsRefused() {
    Graph graph = SmallPaths.all();
    try (Backend backend = new ReferenceBackend();
        ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store)) {
      assertThrows(IllegalStateException.class, program::run);
      assertThrows(IllegalStateException.class, () -> program.time(1));
      for (int[] path : new int[][] {{0, 0}, {0, 0, 2}, {-2, 0, 0}}) {
        assertThrows(IllegalArgumentException.class, () -> program.run(Op.Phase.FIRST, path));
      }
      assertThrows(IllegalArgumentException.class, () -> program.run("none", new int[3]));
    }
  }

  @Test
  void alternativesMayNotMeetButWhereTheyAreChosen() {
    GraphBuilder b = new GraphBuilder();
    Value w = b.parameter("w", "w", true, new Initial.Normal(1), 3, 2);
    List<Value> xs = b.branch(w, 0, 2);
    Value y = b.multiply(b.sum(List.of(xs.get(0), w)), b.sum(List.of(xs.get(1), w)));
    b.output("y", y);
    Graph graph = b.build();
    try (Backend backend = new ReferenceBackend();
        ParameterStore store = new ParameterStore(backend, graph.parameters())) {
      assertThrows(
          IllegalArgumentException.class, () -> Program.compile(backend, graph, store).close());
    }
  }

  /** The gradient of what branched is that of the alternative that ran. */
  @Test
  void gradientsFollowThePath() {
    GraphBuilder b = new GraphBuilder();
    Value x = b.parameter("x", "x", true, new Initial.Constant(3), 4);
    List<Value> xs = b.branch(x, 0, 3);
    Value doubled = b.pointwise(xs.get(0), Op.Function.SCALE, 2);
    Value squared = b.pointwise(xs.get(1), Op.Function.POWER, 2);
    Value y = b.choose(List.of(doubled, squared, xs.get(2)), 0);
    b.output("dx", Autodiff.gradients(b, b.mean(y), List.of(x)).get(x));
    b.input("unused", Type.F32, 1);
    Graph graph = b.build();
    try (Backend backend = new ReferenceBackend();
        ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store)) {
      store.initialise(1);
      float[] expected = {2f / 4, 2 * 3f / 4, 1f / 4};
      for (int k : new int[] {1, 0, 2, 1}) {
        program.run(Op.Phase.FIRST, new int[] {k});
        for (float d : program.read("dx")) {
          assertEquals(expected[k], d, 1e-6);
        }
      }
    }
  }
}
