package io.fbnet.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the warm-up calls the loops with, they take: nobody would see a failure of its thread. */
class LoopWarmUpTest {
  @ParameterizedTest
  @ValueSource(ints = {8, 16})
  void scalarLoopsTakeIt(int lanes) {
    Loops parameters = new ScalarLoops(lanes, false);
    for (Loops images : new Loops[] {parameters, new ScalarLoops(lanes, true)}) {
      assertDoesNotThrow(new LoopWarmUp(images, parameters)::run);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void vectorLoopsTakeIt(boolean bf16) {
    assumeTrue(CpuBackend.vectorModule() && VectorLoops.fits(), "no vectors here");
    Loops parameters = new VectorLoops();
    assertDoesNotThrow(new LoopWarmUp(bf16 ? VectorLoops.bf16() : parameters, parameters)::run);
  }
}
