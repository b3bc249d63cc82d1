package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A NaN is never lost on its way to the loss, and never counts as a right answer. */
class NotANumberTest {
  private static final long SEED = 20260105L;
  private static final int[] IMAGES = {2, 21, 5, 7};

  private static int elements(int... shape) {
    int n = 1;
    for (int d : shape) {
      n *= d;
    }
    return n;
  }

  /** Runs y = build(x) with a NaN at {@code at} of x. */
  private static float[] run(
      String backend, int[] shape, int at, Function<GraphBuilder, Value> build) {
    GraphBuilder b = new GraphBuilder();
    b.output("y", build.apply(b));
    Graph graph = b.build();
    try (Backend device = Devices.open(backend);
        Instance instance = new Instance(device, graph, SEED);
        Arena arena = Arena.ofConfined()) {
      MemorySegment x = arena.allocate(elements(shape) * 4L, 64);
      for (int i = 0; i < elements(shape); i++) {
        x.setAtIndex(JAVA_FLOAT, i, (float) Math.sin(i + 1));
      }
      instance.program.write("x", x);
      instance.program.run();
      for (float v : instance.program.read("y")) {
        assertTrue(Float.isFinite(v), backend + " without a NaN");
      }
      x.setAtIndex(JAVA_FLOAT, at, Float.NaN);
      instance.program.write("x", x);
      instance.program.run();
      return instance.program.read("y");
    }
  }

  private static void reaches(String backend, float[] y, int at, String what) {
    assertTrue(Float.isNaN(y[at]), what + " lost a NaN on " + backend);
  }

  private static Value images(GraphBuilder b) {
    return b.input("x", Type.F32, IMAGES);
  }

  /** The centre pixel of channel 20 of image 1, in the last, half-empty block of channels. */
  private static final int LAST = ((21 + 20) * 5 + 2) * 7 + 3;

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesConvolutions(String backend) {
    int[][] forms = {{13, 3, 1}, {21, 3, 21}, {21, 5, 21}, {13, 1, 1}, {21, 1, 3}};
    for (int[] f : forms) {
      float[] y =
          run(
              backend,
              IMAGES,
              LAST,
              b ->
                  b.convolution(
                      images(b),
                      b.parameter(
                          "weights", "w", true, new Initial.Normal(1), f[0], 21 / f[2], f[1], f[1]),
                      1,
                      f[2]));
      int last = ((f[0] + f[0] - 1) * 5 + 2) * 7 + 3;
      reaches(backend, y, last, "convolution k" + f[1] + " g" + f[2]);
      for (int i = 0; i < y.length / 2; i++) {
        assertFalse(Float.isNaN(y[i]), "a NaN of image 1 reached image 0 on " + backend);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesBatchNormAndRelu(String backend) {
    for (boolean relu : new boolean[] {false, true}) {
      float[] y =
          run(
              backend,
              IMAGES,
              LAST,
              b -> {
                Value gamma = b.parameter("weights", "gamma", false, new Initial.Normal(1), 21);
                Value beta = b.parameter("weights", "beta", false, new Initial.Normal(1), 21);
                return b.batchNorm(images(b), gamma, beta, gamma, beta, null, 1e-5f, relu);
              });
      for (int i = 0; i < y.length; i++) {
        // The whole channel is lost, since its mean is, and no other.
        assertEquals(i / 35 % 21 == 20, Float.isNaN(y[i]), "y[" + i + "] on " + backend);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesInferenceNormAndRelu(String backend) {
    float[] y =
        run(
            backend,
            IMAGES,
            LAST,
            b -> {
              Value gamma = b.parameter("weights", "gamma", false, new Initial.Normal(1), 21);
              Value variance = b.parameter("weights", "variance", false, new Initial.Normal(1), 21);
              return b.batchNormInference(images(b), gamma, gamma, gamma, variance, 1e-5f, true);
            });
    for (int i = 0; i < y.length; i++) {
      assertEquals(i == LAST, Float.isNaN(y[i]), "y[" + i + "] on " + backend);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesPoolingSumsAndShuffle(String backend) {
    float[] pooled = run(backend, IMAGES, LAST, b -> b.globalPool(images(b)));
    for (int i = 0; i < pooled.length; i++) {
      assertEquals(i == 41, Float.isNaN(pooled[i]), "pool[" + i + "] on " + backend);
    }
    float[] sum =
        run(backend, IMAGES, LAST, b -> b.sum(List.of(b.input("z", Type.F32, IMAGES), images(b))));
    reaches(backend, sum, LAST, "sum");
    for (Op.Function f : List.of(Op.Function.RELU, Op.Function.SWISH, Op.Function.HARD_SWISH)) {
      float[] y = run(backend, IMAGES, LAST, b -> b.pointwise(images(b), f));
      for (int i = 0; i < y.length; i++) {
        assertEquals(i == LAST, Float.isNaN(y[i]), f + "[" + i + "] on " + backend);
      }
    }
    float[] scaled =
        run(
            backend,
            IMAGES,
            LAST,
            b -> b.scaleChannels(images(b), b.input("s", Type.F32, IMAGES[0], IMAGES[1])));
    reaches(backend, scaled, LAST, "scale");
    float[] shuffled = run(backend, IMAGES, LAST, b -> b.channelShuffle(images(b), 3));
    reaches(backend, shuffled, LAST, "shuffle");
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesWeightedSumsOfAnyWeight(String backend) {
    for (int rows : new int[] {1, 2}) {
      float[] y =
          run(
              backend,
              IMAGES,
              LAST,
              b -> {
                List<Value> xs = new ArrayList<>();
                for (int k = 0; k < 8; k++) {
                  xs.add(b.input("z" + k, Type.F32, IMAGES));
                }
                xs.add(3, images(b));
                return b.weightedSum(xs, b.input("m", Type.F32, rows, 9));
              });
      for (int i = 0; i < y.length; i++) {
        assertEquals(i == LAST, Float.isNaN(y[i]), "mix[" + i + "] on " + backend);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void passesTheClassifierAndTheLoss(String backend) {
    int[] matrix = {3, 5};
    float[] y =
        run(
            backend,
            matrix,
            7,
            b ->
                b.linear(
                    b.input("x", Type.F32, matrix),
                    b.parameter("weights", "w", true, new Initial.Normal(1), 4, 5),
                    b.parameter("weights", "b", false, new Initial.Normal(1), 4)));
    for (int i = 0; i < y.length; i++) {
      assertEquals(i / 4 == 1, Float.isNaN(y[i]), "linear[" + i + "] on " + backend);
    }
    float[] loss =
        run(
            backend,
            matrix,
            7,
            b -> b.crossEntropy(b.input("x", Type.F32, matrix), b.input("labels", Type.I32, 3)));
    assertFalse(Float.isNaN(loss[0]));
    assertTrue(Float.isNaN(loss[1]), "cross entropy on " + backend);
    float[] log =
        run(
            backend,
            matrix,
            7,
            b -> b.pointwise(b.input("x", Type.F32, matrix), Op.Function.LOG, 1.2f));
    assertTrue(Float.isNaN(log[7]), "log on " + backend);
    for (Op.Function f : List.of(Op.Function.SIGMOID, Op.Function.HARD_SIGMOID)) {
      float[] gate = run(backend, matrix, 7, b -> b.pointwise(b.input("x", Type.F32, matrix), f));
      assertTrue(Float.isNaN(gate[7]), f + " on " + backend);
    }
    float[] mean = run(backend, matrix, 7, b -> b.mean(b.input("x", Type.F32, matrix)));
    assertTrue(Float.isNaN(mean[0]), "mean on " + backend);
    float[] noisy =
        run(
            backend,
            matrix,
            7,
            b ->
                b.gumbelSoftmax(
                    b.input("x", Type.F32, matrix),
                    b.control("tau", Type.F32),
                    b.control("seed", Type.I64),
                    b.control("step", Type.I64),
                    1,
                    0));
    for (int i = 0; i < noisy.length; i++) {
      assertEquals(i / 5 == 1, Float.isNaN(noisy[i]), "m[" + i + "] on " + backend);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cpu, scalar", "cpu bf16", "cuda", "cuda bf16"})
  void neverCountsAsARightAnswer(String backend) {
    GraphBuilder b = new GraphBuilder();
    b.output("rank", b.labelRank(b.input("x", Type.F32, 5, 3), b.input("labels", Type.I32, 5)));
    float nan = Float.NaN;
    try (Backend device = Devices.open(backend);
        Instance instance = new Instance(device, b.build(), SEED);
        Arena arena = Arena.ofConfined()) {
      instance.program.write(
          "x",
          arena.allocateFrom(JAVA_FLOAT, 1, 5, 2, 1, nan, 2, 1, 5, nan, nan, nan, nan, nan, 5, 2));
      instance.program.write("labels", arena.allocateFrom(JAVA_INT, 1, 1, 1, 1, 1));
      instance.program.run();
      float[] rank = instance.program.read("rank");
      assertEquals(0, rank[0], "a right answer");
      for (int n = 1; n < 5; n++) {
        assertTrue(rank[n] > 0, "row " + n + " has rank " + rank[n] + " on " + backend);
      }
    }
  }
}
