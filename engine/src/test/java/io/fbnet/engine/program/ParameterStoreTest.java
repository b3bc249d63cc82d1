package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.reference.ReferenceBackend;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ParameterStoreTest {
  private static final ParameterSpec CONV =
      new ParameterSpec("w", "conv", Shape.of(40, 25, 3, 3), true, new Initial.Normal(0.25));
  private static final ParameterSpec OTHER =
      new ParameterSpec("w", "other", Shape.of(40, 25, 3, 3), true, new Initial.Normal(0.25));
  private static final ParameterSpec GAMMA =
      new ParameterSpec("w", "gamma", Shape.of(7), false, new Initial.Constant(1.5f));

  private final ReferenceBackend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  private float[] initial(long seed, String name, ParameterSpec... specs) {
    try (ParameterStore store = new ParameterStore(backend, List.of(specs))) {
      store.initialise(seed);
      return store.read("w", Storage.Flat.VALUES, name);
    }
  }

  @Test
  void aTensorStartsAlikeWhateverElseIsInTheStore() {
    float[] alone = initial(5, "conv", CONV);
    assertArrayEquals(alone, initial(5, "conv", GAMMA, OTHER, CONV));
    assertArrayEquals(alone, initial(5, "conv", CONV, GAMMA));
  }

  @Test
  void seedsAndNamesMakeItDiffer() {
    float[] conv = initial(5, "conv", CONV, OTHER);
    assertFalse(Arrays.equals(conv, initial(6, "conv", CONV, OTHER)));
    assertFalse(Arrays.equals(conv, initial(5, "other", CONV, OTHER)));
  }

  @Test
  void normalNumbersHaveTheirDeviation() {
    float[] values = initial(5, "conv", CONV);
    double sum = 0;
    double squares = 0;
    for (float v : values) {
      sum += v;
      squares += (double) v * v;
    }
    // Five standard errors of 9,000 draws.
    assertEquals(0, sum / values.length, 5 * 0.25 / Math.sqrt(values.length), "seed 5");
    double deviation = Math.sqrt(squares / values.length);
    assertEquals(0.25, deviation, 5 * 0.25 / Math.sqrt(2.0 * values.length), "seed 5");
  }

  @Test
  void constantsFillTheirTensorAlone() {
    float[] expected = new float[7];
    Arrays.fill(expected, 1.5f);
    assertArrayEquals(expected, initial(5, "gamma", CONV, GAMMA));
  }

  @Test
  void whatIsNotThereIsNamed() {
    try (ParameterStore store = new ParameterStore(backend, List.of(CONV))) {
      String set =
          assertThrows(IllegalArgumentException.class, () -> store.layout("theta")).getMessage();
      assertTrue(set.contains("theta"), set);
      String name =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> store.read("w", Storage.Flat.VALUES, "gamma"))
              .getMessage();
      assertTrue(name.contains("gamma"), name);
    }
  }

  /** An update runs over the whole buffer, so a graph of half the tensors would miss the rest. */
  @Test
  void aGraphThatUpdatesPartOfASetIsRefused() {
    GraphBuilder b = new GraphBuilder();
    b.parameter("w", "gamma", false, new Initial.Constant(1.5f), 7);
    b.sgd("w", b.control("rate", Type.F32), b.control("finite", Type.F32), 0.9f, 0);
    try (ParameterStore store = new ParameterStore(backend, List.of(CONV, GAMMA))) {
      String message =
          assertThrows(
                  IllegalArgumentException.class, () -> Program.compile(backend, b.build(), store))
              .getMessage();
      assertTrue(message.contains("[16]") && message.contains("9024"), message);
    }
  }
}
