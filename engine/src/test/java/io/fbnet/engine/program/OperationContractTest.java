package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
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
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every operation, forward and gradient: the reference against finite differences in double, the
 * other back ends against the reference. The random numbers' seed is part of every message.
 */
class OperationContractTest {
  private static final long SEED = 20260101L;

  /** A graph with its gradients, and the names under which the results can be read. */
  private record Subject(Graph graph, List<Value> wanted, Map<Value, Value> gradients) {
    static Subject of(OperationCases.Case c) {
      GraphBuilder b = new GraphBuilder();
      Value y = c.build().apply(b);
      b.output("y", y);
      List<Value> wanted = new ArrayList<>();
      Graph forward = b.build();
      for (Op op : forward.ops()) {
        for (Value v : op.inputs()) {
          if (!wanted.contains(v) && differentiable(forward.storage().get(v), v)) {
            wanted.add(v);
          }
        }
      }
      Map<Value, Value> gradients = new LinkedHashMap<>();
      if (hasGradient(forward.ops().getLast())) {
        int[] shape = new int[y.shape().rank()];
        for (int i = 0; i < shape.length; i++) {
          shape[i] = y.shape().get(i);
        }
        Value dy = b.input("dy", Type.F32, shape);
        gradients = Autodiff.pullback(b, y, dy, wanted);
        int i = 0;
        for (Value gradient : gradients.values()) {
          b.output("gradient" + i++, gradient);
        }
      }
      for (Op op : forward.ops()) {
        if (op instanceof Op.BatchNorm bn) {
          b.output("runningMean", bn.runningMean());
          b.output("runningVariance", bn.runningVariance());
        }
      }
      return new Subject(b.build(), wanted, gradients);
    }

    private static boolean hasGradient(Op op) {
      return !(op instanceof Op.LabelRank || op instanceof Op.BatchNormInference);
    }

    private static boolean differentiable(Storage storage, Value v) {
      return v.type() == Type.F32
          && (storage instanceof Storage.Input
              || storage instanceof Storage.Parameter p && p.set().equals("weights"));
    }
  }

  /** A subject compiled for one back end with the same random numbers everywhere. */
  private static final class Instance implements AutoCloseable {
    final ParameterStore store;
    final Program program;

    Instance(Backend backend, Subject subject, long seed) {
      store = new ParameterStore(backend, subject.graph().parameters());
      program = Program.compile(backend, subject.graph(), store);
      Random random = new Random(seed);
      try (Arena arena = Arena.ofConfined()) {
        for (String set : store.sets().stream().sorted().toList()) {
          ParameterLayout layout = store.layout(set);
          MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
          for (ParameterLayout.Entry e : layout.entries()) {
            for (long i = 0; i < e.spec().shape().elements(); i++) {
              float v = (float) random.nextGaussian();
              boolean variance = e.spec().name().equals("variance");
              host.setAtIndex(JAVA_FLOAT, e.offset() + i, variance ? 0.5f + v * v : v);
            }
          }
          store.load(set, Storage.Flat.VALUES, host);
        }
        for (Map.Entry<Value, Storage> e :
            subject.graph().storage().entrySet().stream()
                .sorted(java.util.Comparator.comparingInt(s -> s.getKey().id()))
                .toList()) {
          write(arena, random, e.getKey(), e.getValue());
        }
      }
    }

    private void write(Arena arena, Random random, Value v, Storage storage) {
      switch (storage) {
        case Storage.Input input -> {
          MemorySegment host = arena.allocate(v.shape().elements() * 4, 64);
          for (long i = 0; i < v.shape().elements(); i++) {
            if (v.type() == Type.I32) {
              host.setAtIndex(JAVA_INT, i, random.nextInt(5));
            } else {
              boolean positive = input.name().equals("positive");
              float x = (float) random.nextGaussian();
              host.setAtIndex(JAVA_FLOAT, i, positive ? 1.25f + Math.abs(x) : x);
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
  }

  static List<OperationCases.Case> cases() {
    return OperationCases.all();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void referenceGradientsAgreeWithFiniteDifferences(OperationCases.Case c) {
    Subject subject = Subject.of(c);
    assumeTrue(!subject.gradients().isEmpty(), c + " has no gradient");
    try (ReferenceBackend reference = new ReferenceBackend();
        Instance instance = new Instance(reference, subject, SEED)) {
      Program program = instance.program;
      program.run();
      Map<Value, double[]> gradients = new LinkedHashMap<>();
      subject.gradients().forEach((v, g) -> gradients.put(v, doubles(program, g)));
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

  private static double[] doubles(Program program, Value v) {
    double[] result = new double[Math.toIntExact(v.shape().elements())];
    MemorySegment.copy(program.memoryOf(v), JAVA_DOUBLE, 0, result, 0, result.length);
    return result;
  }

  private static double perturbed(Subject subject, Program program, Value v, int i, double step) {
    MemorySegment where = program.memoryOf(v);
    double old = where.getAtIndex(JAVA_DOUBLE, i);
    where.setAtIndex(JAVA_DOUBLE, i, old + step);
    program.run();
    where.setAtIndex(JAVA_DOUBLE, i, old);
    double[] y = doubles(program, subject.graph().outputs().get("y"));
    Value dyValue =
        subject.graph().storage().entrySet().stream()
            .filter(e -> e.getValue().equals(new Storage.Input("dy")))
            .findFirst()
            .orElseThrow()
            .getKey();
    double[] dy = doubles(program, dyValue);
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
                Stream.of("cpu, 2 threads", "cpu, 1 thread", "cpu, scalar")
                    .map(b -> Arguments.of(c, b)));
  }

  @ParameterizedTest
  @MethodSource("onEveryBackend")
  void agreesWithReference(OperationCases.Case c, String backend) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    Subject subject = Subject.of(c);
    try (ReferenceBackend reference = new ReferenceBackend();
        Backend other = open(backend);
        Instance expected = new Instance(reference, subject, SEED);
        Instance actual = new Instance(other, subject, SEED)) {
      // Twice: nothing may be left over from the first run.
      for (int run = 0; run < 2; run++) {
        expected.program.run();
        actual.program.run();
        for (String name : subject.graph().outputs().keySet()) {
          compare(c, name, expected.program.read(name), actual.program.read(name));
        }
      }
      assertEquals(List.of(), actual.program.slowKernels(), "slow kernels of " + c);
    }
  }

  private static Backend open(String name) {
    return switch (name) {
      case "cpu, 2 threads" -> CpuBackend.open(2);
      case "cpu, 1 thread" -> CpuBackend.open(1);
      case "cpu, scalar" -> CpuBackend.openScalar(2);
      default -> throw new IllegalArgumentException(name);
    };
  }

  private static void compare(
      OperationCases.Case c, String name, float[] expected, float[] actual) {
    double largest = 0;
    for (float e : expected) {
      largest = Math.max(largest, Math.abs(e));
    }
    assertTrue(largest > 0, c + " " + name + " is tested on zeros");
    for (int i = 0; i < expected.length; i++) {
      assertEquals(
          expected[i],
          actual[i],
          c.tolerance() * largest,
          "%s, %s[%d], seed %d".formatted(c, name, i, SEED));
    }
  }
}
