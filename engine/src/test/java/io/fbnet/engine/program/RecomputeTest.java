package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.ChunkedCpu;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Recompute;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A step whose candidates are computed twice leaves the same bits, and takes less memory. */
class RecomputeTest {
  private static final long SEED = 20261125L;

  private static Graph step(boolean noisePerImage) {
    return SmallSupernet.of(5, noisePerImage, SmallSupernet.Update.BOTH_OPTIMISERS).graph();
  }

  private record Run(List<Map<String, List<Integer>>> bits, long plannedBytes) {}

  private static Run threeSteps(Backend backend, Graph graph) {
    try (Instance instance = new Instance(backend, graph, SEED)) {
      return new Run(instance.threeSteps(), instance.program.plannedBytes());
    }
  }

  private static void requireSame(Backend backend, String name) {
    for (boolean noisePerImage : new boolean[] {false, true}) {
      Graph normal = step(noisePerImage);
      Run kept = threeSteps(backend, normal);
      Run again = threeSteps(backend, Recompute.insideCandidates(normal));
      assertEquals(kept.bits(), again.bits(), name + ", seed " + SEED);
      assertTrue(
          again.plannedBytes() < kept.plannedBytes(),
          name + ": " + again.plannedBytes() + " instead of " + kept.plannedBytes());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "reference",
        "cpu, 1 thread",
        "cpu, 2 threads",
        "cpu, scalar",
        "cpu bf16",
        "cuda deterministic",
        "cuda bf16 deterministic"
      })
  void aLeanStepIsTheNormalStepBitForBit(String name) {
    try (Backend backend = Devices.open(name)) {
      requireSame(backend, name);
    }
  }

  @ParameterizedTest
  @CsvSource({"F32, 1", "F32, 20000", "BF16, 1", "BF16, 20000"})
  void soItIsInSmallChunks(Precision precision, long chunkBytes) {
    Devices.open("cpu").close();
    try (Backend backend = ChunkedCpu.open(2, precision, chunkBytes)) {
      requireSame(backend, precision + ", " + chunkBytes + " bytes");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu, 2 threads", "cpu bf16", "cuda deterministic"})
  void soItIsWithOtherActivationsAndSqueezeAndExcitation(String name) {
    int smaller = 0;
    for (long seed = SEED; seed < SEED + 5; seed++) {
      RandomSupernet net = RandomSupernet.ofActivations(seed);
      try (Backend backend = Devices.open(name);
          Instance kept = new Instance(backend, net.graph(), seed);
          Instance again = new Instance(backend, Recompute.insideCandidates(net.graph()), seed)) {
        kept.program.run();
        again.program.run();
        assertEquals(kept.bits(), again.bits(), name + ", " + net.description());
        smaller += again.program.plannedBytes() < kept.program.plannedBytes() ? 1 : 0;
      }
    }
    assertTrue(smaller >= 3, smaller + " of 5 steps take less memory, from seed " + SEED);
  }

  /** What follows a norm is made again with it, and the gate of its channels is not. */
  @Test
  void activationsAreRepeatedAndGatesAreNot() {
    long pointwise = 0;
    for (long seed = SEED; seed < SEED + 12; seed++) {
      Graph normal = RandomSupernet.ofActivations(seed).graph();
      Graph lean = Recompute.insideCandidates(normal);
      assertEquals(count(normal, Op.Linear.class), count(lean, Op.Linear.class));
      pointwise += count(lean, Op.Pointwise.class) - count(normal, Op.Pointwise.class);
    }
    assertTrue(pointwise > 12, pointwise + " activations are made again, from seed " + SEED);
  }

  /** Statistics and the last convolution of each candidate are those of the first time. */
  @Test
  void onlyWhatIsLargeAndCheapIsRepeated() {
    Graph normal = step(false);
    Graph lean = Recompute.insideCandidates(normal);
    assertEquals(count(normal, Op.BatchNorm.class), count(lean, Op.BatchNorm.class));
    // Four blocks of three convolutions, the last of each kept; the skip has one.
    assertEquals(count(normal, Op.Convolution.class) + 8, count(lean, Op.Convolution.class));
    Graph again = Recompute.insideCandidates(lean);
    assertEquals(count(lean, Op.Convolution.class), count(again, Op.Convolution.class));
  }

  private static long count(Graph graph, Class<? extends Op> kind) {
    return graph.ops().stream().filter(kind::isInstance).count();
  }
}
