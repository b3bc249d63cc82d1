package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.cpu.GuardedBackend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Kernels of the CPU back end write their results and nothing else: what lies around a value stays,
 * empty lanes are zeros, and memory that held something before gives the same bits.
 */
class SentinelTest {
  private static final long SEED = 20260103L;

  static List<OperationCases.Case> cases() {
    return OperationCases.all();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void onVectors(OperationCases.Case c) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (CpuBackend plain = CpuBackend.open(2);
        CpuBackend guarded = CpuBackend.open(2)) {
      sameBits(c, plain, new GuardedBackend(guarded));
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void oneNumberAtATime(OperationCases.Case c) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (CpuBackend plain = CpuBackend.openScalar(2, Precision.F32);
        CpuBackend guarded = CpuBackend.openScalar(2, Precision.F32)) {
      sameBits(c, plain, new GuardedBackend(guarded));
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void onImagesInBf16(OperationCases.Case c) {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    try (CpuBackend plain = CpuBackend.open(2, Precision.BF16);
        CpuBackend guarded = CpuBackend.open(2, Precision.BF16)) {
      sameBits(c, plain, new GuardedBackend(guarded));
    }
  }

  private static void sameBits(OperationCases.Case c, Backend plain, Backend guarded) {
    Graph graph = Subject.of(c).graph();
    try (Instance expected = new Instance(plain, graph, SEED);
        Instance actual = new Instance(guarded, graph, SEED);
        Arena arena = Arena.ofConfined()) {
      boolean gradients =
          graph.storage().values().stream().anyMatch(s -> s instanceof Storage.Gradient);
      if (gradients) {
        ParameterLayout layout = actual.store.layout("weights");
        MemorySegment host = arena.allocate(layout.size() * 4, 64);
        for (long i = 0; i < layout.size(); i++) {
          host.setAtIndex(JAVA_INT, i, GuardedBackend.SENTINEL);
        }
        actual.store.load("weights", Storage.Flat.GRADIENTS, host);
      }
      for (int run = 0; run < 2; run++) {
        expected.program.run();
        actual.program.run();
        assertEquals(expected.bits(), actual.bits(), c + ", run " + run + ", seed " + SEED);
      }
      if (gradients) {
        inspectGradients(c, actual.store, arena);
      }
    }
  }

  /** Every gradient is written, the gaps between them are not. */
  private static void inspectGradients(OperationCases.Case c, ParameterStore store, Arena arena) {
    ParameterLayout layout = store.layout("weights");
    MemorySegment host = arena.allocate(layout.size() * 4, 64);
    store.save("weights", Storage.Flat.GRADIENTS, host);
    long end = 0;
    for (ParameterLayout.Entry entry : layout.entries()) {
      for (; end < entry.offset(); end++) {
        assertEquals(GuardedBackend.SENTINEL, host.getAtIndex(JAVA_INT, end), c + " gap " + end);
      }
      long next = entry.offset() + entry.spec().shape().elements();
      for (; end < next; end++) {
        assertNotEquals(GuardedBackend.SENTINEL, host.getAtIndex(JAVA_INT, end), c + " " + entry);
      }
    }
    for (; end < layout.size(); end++) {
      assertEquals(GuardedBackend.SENTINEL, host.getAtIndex(JAVA_INT, end), c + " gap " + end);
    }
  }
}
