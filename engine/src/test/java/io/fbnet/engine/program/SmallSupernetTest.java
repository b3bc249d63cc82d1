package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cpu.GuardedBackend;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.reference.ReferenceBackend;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A whole step: reference against finite differences, CPU against reference, bit by bit again. */
class SmallSupernetTest {
  private static final long SEED = 20260106L;

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void referenceAgreesWithFiniteDifferences(boolean noisePerImage) {
    SmallSupernet net = SmallSupernet.of(2, noisePerImage, SmallSupernet.Update.NONE);
    try (Backend reference = new ReferenceBackend();
        Instance instance = new Instance(reference, net.graph(), SEED)) {
      Program program = instance.program;
      program.run();
      Random random = new Random(SEED);
      double step = 1e-6;
      for (Map.Entry<Value, Value> entry : net.gradients().entrySet()) {
        double[] gradient = Instance.doubles(program, entry.getValue());
        double largest = 0;
        for (double g : gradient) {
          largest = Math.max(largest, Math.abs(g));
        }
        assertTrue(largest > 1e-9, entry.getKey() + " is tested on zeros");
        MemorySegment where = program.memoryOf(entry.getKey());
        int i = random.nextInt(gradient.length);
        double old = where.getAtIndex(JAVA_DOUBLE, i);
        where.setAtIndex(JAVA_DOUBLE, i, old + step);
        program.run();
        double above = Instance.doubles(program, net.loss())[0];
        where.setAtIndex(JAVA_DOUBLE, i, old - step);
        program.run();
        double below = Instance.doubles(program, net.loss())[0];
        where.setAtIndex(JAVA_DOUBLE, i, old);
        assertEquals(
            (above - below) / (2 * step),
            gradient[i],
            1e-4 * largest + 1e-8,
            "d%s[%d], seed %d".formatted(entry.getKey(), i, SEED));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void cpuAgreesWithReference(boolean noisePerImage) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    SmallSupernet net = SmallSupernet.of(5, noisePerImage, SmallSupernet.Update.NONE);
    try (Backend reference = new ReferenceBackend();
        Backend cpu = CpuBackend.open(2);
        Instance expected = new Instance(reference, net.graph(), SEED);
        Instance actual = new Instance(cpu, net.graph(), SEED)) {
      expected.program.run();
      actual.program.run();
      double worst = 0;
      for (String output : net.graph().outputs().keySet()) {
        float[] e = expected.program.read(output);
        float[] a = actual.program.read(output);
        double largest = 0;
        double difference = 0;
        for (int i = 0; i < e.length; i++) {
          largest = Math.max(largest, Math.abs(e[i]));
          difference = Math.max(difference, Math.abs(e[i] - a[i]));
        }
        assertTrue(largest > 0, output + " is tested on zeros");
        worst = Math.max(worst, difference / largest);
        // Ten layers of sums in f32, each within 1e-5 of its largest element.
        assertTrue(difference <= 1e-4 * largest, output + " by " + difference / largest);
      }
      System.out.println("small supernet: cpu within " + worst + " of reference, seed " + SEED);
      assertEquals(List.of(), actual.program.slowKernels());
    }
  }

  private static List<Map<String, List<Integer>>> threeSteps(Backend backend) {
    SmallSupernet net = SmallSupernet.of(5, true, SmallSupernet.Update.BOTH_OPTIMISERS);
    try (Instance instance = new Instance(backend, net.graph(), SEED)) {
      return instance.threeSteps();
    }
  }

  @Test
  void cpuRepeatsItselfBitForBit() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    for (int threads = 1; threads <= 2; threads++) {
      try (CpuBackend one = CpuBackend.open(threads);
          Backend guarded = new GuardedBackend(CpuBackend.open(threads))) {
        List<Map<String, List<Integer>>> first = threeSteps(one);
        assertEquals(first, threeSteps(one), threads + " threads, again, seed " + SEED);
        // Elsewhere in memory, without the plan's sharing of places.
        assertEquals(first, threeSteps(guarded), threads + " threads, apart, seed " + SEED);
      }
    }
  }

  @Test
  void stepsMoveTheLoss() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (CpuBackend cpu = CpuBackend.open(2)) {
      List<Map<String, List<Integer>>> steps = threeSteps(cpu);
      assertTrue(
          steps.stream().map(s -> s.get("loss")).distinct().count() == 3, "the loss stands still");
    }
  }
}
