package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every operation, forward and gradient: the reference against finite differences in double, the
 * other back ends against the reference. The random numbers' seed is part of every message.
 */
class OperationContractTest {
  private static final long SEED = 20260101L;

  static List<OperationCases.Case> cases() {
    return OperationCases.all();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void referenceGradientsAgreeWithFiniteDifferences(OperationCases.Case c) {
    Subject subject = Subject.of(c);
    assumeTrue(!subject.gradients().isEmpty(), c + " has no gradient");
    try (ReferenceBackend reference = new ReferenceBackend();
        Instance instance = new Instance(reference, subject.graph(), SEED)) {
      Program program = instance.program;
      program.run();
      Map<Value, double[]> gradients = new LinkedHashMap<>();
      subject.gradients().forEach((v, g) -> gradients.put(v, Instance.doubles(program, g)));
      Random random = new Random(SEED + 1);
      double step = 1e-6;
      for (Value v : subject.wanted()) {
        double[] gradient = gradients.get(v);
        double largest = 1e-12;
        for (double g : gradient) {
          largest = Math.max(largest, Math.abs(g));
        }
        for (int trial = 0; trial < 12; trial++) {
          int i = random.nextInt(gradient.length);
          double above = perturbed(subject, program, v, i, step);
          double below = perturbed(subject, program, v, i, -step);
          double measured = (above - below) / (2 * step);
          assertEquals(
              measured,
              gradient[i],
              1e-5 * largest + 1e-8,
              "%s, d%s[%d], seed %d".formatted(c, v, i, SEED));
        }
      }
    }
  }

  private static double perturbed(Subject subject, Program program, Value v, int i, double step) {
    MemorySegment where = program.memoryOf(v);
    double old = where.getAtIndex(JAVA_DOUBLE, i);
    where.setAtIndex(JAVA_DOUBLE, i, old + step);
    program.run();
    where.setAtIndex(JAVA_DOUBLE, i, old);
    double[] y = Instance.doubles(program, subject.graph().outputs().get("y"));
    Value dyValue =
        subject.graph().storage().entrySet().stream()
            .filter(e -> e.getValue().equals(new Storage.Input("dy")))
            .findFirst()
            .orElseThrow()
            .getKey();
    double[] dy = Instance.doubles(program, dyValue);
    double total = 0;
    for (int j = 0; j < y.length; j++) {
      total += y[j] * dy[j];
    }
    return total;
  }

  static Stream<Arguments> onEveryBackend() {
    return OperationCases.all().stream()
        .flatMap(
            c ->
                Stream.concat(Devices.F32.stream(), Devices.NARROW.stream())
                    .map(b -> Arguments.of(c, b)));
  }

  /**
   * What a device may differ by, relative to the largest element. bf16 rounds each element of an
   * image by up to 2^-9, once more in each further operation; TF32 rounds factors by up to 2^-11,
   * and its errors add up in a sum.
   */
  private static double tolerance(OperationCases.Case c, Subject subject, String backend) {
    if (c.tolerance() == 0) {
      return 0;
    }
    long forward =
        subject.graph().ops().stream().filter(op -> !op.name().contains("Backward")).count();
    double narrow = backend.endsWith("bf16") ? 5e-3 * forward : backend.endsWith("tf32") ? 2e-3 : 0;
    return Math.max(c.tolerance(), narrow);
  }

  /** Inputs that a narrow type holds exactly, so that only what the device does is compared. */
  private static float rounded(float x, String backend) {
    return backend.endsWith("bf16")
        ? Float.intBitsToFloat(Float.floatToRawIntBits(x) & 0xFFFF0000)
        : x;
  }

  @ParameterizedTest
  @MethodSource("onEveryBackend")
  void agreesWithReference(OperationCases.Case c, String backend) {
    Subject subject = Subject.of(c);
    try (ReferenceBackend reference = new ReferenceBackend();
        Backend other = Devices.open(backend);
        Instance expected =
            new Instance(reference, subject.graph(), SEED, x -> rounded(x, backend));
        Instance actual = new Instance(other, subject.graph(), SEED, x -> rounded(x, backend))) {
      // Three times: nothing may be left over from an earlier run, and a GPU replays from the
      // third.
      for (int run = 0; run < 3; run++) {
        expected.program.run();
        actual.program.run();
        for (String name : subject.graph().outputs().keySet()) {
          compare(
              c + " on " + backend,
              name,
              tolerance(c, subject, backend),
              expected.program.read(name),
              actual.program.read(name));
        }
      }
      assertEquals(List.of(), actual.program.slowKernels(), "slow kernels of " + c);
    }
  }

  private static void compare(
      String what, String name, double tolerance, float[] expected, float[] actual) {
    double largest = 0;
    for (float e : expected) {
      largest = Math.max(largest, Math.abs(e));
    }
    assertTrue(largest > 0, what + " " + name + " is tested on zeros");
    for (int i = 0; i < expected.length; i++) {
      assertEquals(
          expected[i],
          actual[i],
          tolerance * largest,
          "%s, %s[%d], seed %d".formatted(what, name, i, SEED));
    }
  }

  /** A label that is no class reads no other image's logits: it gives no number and no answer. */
  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda"})
  void labelsThatAreNoClassGiveNoNumber(String name) {
    int classes = 5;
    int[] labels = {2, 5, -1, 4, Integer.MAX_VALUE, Integer.MIN_VALUE, 0};
    GraphBuilder b = new GraphBuilder();
    Value x = b.input("x", Type.F32, labels.length, classes);
    Value given = b.input("labels", Type.I32, labels.length);
    Value loss = b.crossEntropy(x, given, 0.1f);
    b.output("loss", loss);
    b.output("rank", b.labelRank(x, given));
    Value dy = b.input("dy", Type.F32, labels.length);
    b.output("gradient", Autodiff.pullback(b, loss, dy, List.of(x)).get(x));
    try (Backend device = Devices.open(name);
        Instance instance = new Instance(device, b.build(), SEED);
        Arena arena = Arena.ofConfined()) {
      instance.program.write("labels", arena.allocateFrom(JAVA_INT, labels));
      instance.program.run();
      for (int n = 0; n < labels.length; n++) {
        boolean known = labels[n] >= 0 && labels[n] < classes;
        String what = "label " + labels[n] + " on " + name + ", seed " + SEED;
        assertEquals(known, Float.isFinite(instance.program.read("loss")[n]), what);
        for (int i = 0; i < classes; i++) {
          float gradient = instance.program.read("gradient")[n * classes + i];
          assertEquals(!known, Float.isNaN(gradient), what);
        }
        float rank = instance.program.read("rank")[n];
        assertTrue(known ? rank < classes : rank == classes, what + ": " + rank);
      }
    }
  }

  /** Of equal logits none is the answer: a dead network, all zeros, is right nowhere. */
  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu, 2 threads", "cpu bf16", "cuda"})
  void tiesAreNoRightAnswers(String name) {
    int rows = 40;
    int classes = 67;
    Random random = new Random(SEED);
    float[] logits = new float[rows * classes];
    int[] labels = new int[rows];
    int[] expected = new int[rows];
    int alone = 0;
    for (int n = 0; n < rows; n++) {
      // The first row is a dead network's; every third label is the largest or one of them.
      for (int c = 0; n > 0 && c < classes; c++) {
        logits[n * classes + c] = random.nextInt(20) - 10;
      }
      labels[n] = random.nextInt(classes);
      if (n % 3 == 1) {
        logits[n * classes + labels[n]] = n % 2 == 0 ? 10 : 9;
      }
      for (int c = 0; c < classes; c++) {
        boolean behind = logits[n * classes + c] < logits[n * classes + labels[n]];
        expected[n] += c == labels[n] || behind ? 0 : 1;
      }
      alone += expected[n] == 0 ? 1 : 0;
    }
    assertTrue(alone > 2, "seed " + SEED);
    GraphBuilder b = new GraphBuilder();
    b.output(
        "rank",
        b.labelRank(b.input("x", Type.F32, rows, classes), b.input("labels", Type.I32, rows)));
    try (Backend device = Devices.open(name);
        Instance instance = new Instance(device, b.build(), SEED);
        Arena arena = Arena.ofConfined()) {
      instance.program.write("x", arena.allocateFrom(JAVA_FLOAT, logits));
      instance.program.write("labels", arena.allocateFrom(JAVA_INT, labels));
      instance.program.run();
      float[] rank = instance.program.read("rank");
      assertEquals(classes - 1, rank[0], name);
      for (int n = 0; n < rows; n++) {
        assertEquals(expected[n], rank[n], name + ", row " + n + ", seed " + SEED);
      }
    }
  }
}
