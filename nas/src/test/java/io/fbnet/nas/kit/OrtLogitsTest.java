package io.fbnet.nas.kit;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.Test;

class OrtLogitsTest {
  @Test
  void divergenceIsThatOfProbabilities() {
    float[][] exact = {{0, (float) Math.log(3)}, {5, 5}};
    assertEquals(0, OrtLogits.divergence(exact, exact));
    // A number added to all logits of an image changes no probability.
    float[][] shifted = {{700, 700 + (float) Math.log(3)}, {-90, -90}};
    assertEquals(0, OrtLogits.divergence(exact, shifted), 1e-6);
    float[][] even = {{1, 1}, {2, 2}};
    double one = 0.25 * Math.log(0.25 / 0.5) + 0.75 * Math.log(0.75 / 0.5);
    assertEquals(one / 2, OrtLogits.divergence(exact, even), 1e-7);
    assertEquals(
        Double.POSITIVE_INFINITY,
        OrtLogits.divergence(exact, new float[][] {{0, 0}, {Float.NaN, 0}}));
  }

  @Test
  void aTieIsWrong() {
    ImageSet set =
        ImageSet.of(
            "test",
            new ImageShape(1, 1, 1),
            MemorySegment.ofArray(new byte[4]),
            new int[] {0, 1, 1, 0},
            List.of("a", "b"));
    float[][] logits = {{2, 1}, {2, 1}, {1, 1}, {1, Float.NaN}};
    assertEquals(0.25, OrtLogits.accuracy(logits, set));
  }
}
