package io.fbnet.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.ParameterSpec.Initial;
import java.util.List;
import org.junit.jupiter.api.Test;

class ParameterLayoutTest {
  private static ParameterSpec spec(String set, String name, boolean decayed, int... shape) {
    return new ParameterSpec(set, name, Shape.of(shape), decayed, new Initial.Constant(1));
  }

  private static final List<ParameterSpec> SPECS =
      List.of(
          spec("w", "gamma", false, 5),
          spec("w", "conv", true, 7, 3, 1, 1),
          spec("other", "theta", true, 4),
          spec("w", "beta", false, 5),
          spec("w", "fc", true, 16, 2));

  @Test
  void decayedTensorsComeFirstEachOnACacheLine() {
    ParameterLayout layout = ParameterLayout.of("w", SPECS);
    List<String> names = layout.entries().stream().map(e -> e.spec().name()).toList();
    assertEquals(List.of("conv", "fc", "gamma", "beta"), names);
    List<Long> offsets = layout.entries().stream().map(ParameterLayout.Entry::offset).toList();
    assertEquals(List.of(0L, 32L, 64L, 80L), offsets);
    assertEquals(64, layout.decayed());
    assertEquals(96, layout.size());
  }

  @Test
  void tensorsNeverOverlap() {
    ParameterLayout layout = ParameterLayout.of("w", SPECS);
    long end = 0;
    for (ParameterLayout.Entry e : layout.entries()) {
      assertTrue(e.offset() >= end && e.offset() % 16 == 0, e.toString());
      end = e.offset() + e.spec().shape().elements();
    }
    assertTrue(end <= layout.size());
  }

  @Test
  void anEmptySetStillHasMemory() {
    ParameterLayout layout = ParameterLayout.of("nothing", SPECS);
    assertEquals(List.of(), layout.entries());
    assertEquals(0, layout.decayed());
    assertTrue(layout.size() > 0);
  }

  @Test
  void anUnknownNameOrShapeIsNamed() {
    ParameterLayout layout = ParameterLayout.of("w", SPECS);
    assertEquals(64, layout.find("gamma", Shape.of(5)).offset());
    String absent =
        assertThrows(IllegalArgumentException.class, () -> layout.find("theta", Shape.of(4)))
            .getMessage();
    assertTrue(absent.contains("w") && absent.contains("theta"), absent);
    String shape =
        assertThrows(IllegalArgumentException.class, () -> layout.find("gamma", Shape.of(6)))
            .getMessage();
    assertTrue(shape.contains("[5]") && shape.contains("[6]"), shape);
  }
}
