package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SplitsTest {
  @Test
  void partsAreDisjointSortedCompleteAndStratified() {
    long seed = System.nanoTime();
    System.out.println("SplitsTest seed " + seed);
    Random random = new Random(seed);
    for (int round = 0; round < 50; round++) {
      int classes = 1 + random.nextInt(12);
      int[] labels =
          IntStream.range(0, 20 + random.nextInt(500)).map(i -> random.nextInt(classes)).toArray();
      Splits splits = Splits.split(labels, 0.8, random.nextLong(), 0);
      int[] first = splits.first();
      int[] second = splits.second();
      assertEquals(Math.round(0.8 * labels.length), first.length);
      assertSorted(first);
      assertSorted(second);
      int[] union =
          IntStream.concat(Arrays.stream(first), Arrays.stream(second)).sorted().toArray();
      assertArrayEquals(IntStream.range(0, labels.length).toArray(), union);
      for (int c = 0; c < classes; c++) {
        int wanted = c;
        long whole = Arrays.stream(labels).filter(l -> l == wanted).count();
        long part = Arrays.stream(first).filter(i -> labels[i] == wanted).count();
        assertTrue(Math.abs(part - 0.8 * whole) < 1, "class " + c + ": " + part + " of " + whole);
      }
    }
  }

  @Test
  void dependsOnTheSeedAndOnNothingElse() {
    int[] labels = IntStream.range(0, 200).map(i -> i % 7).toArray();
    int[] first = Splits.split(labels, 0.5, 3, 0).first();
    assertArrayEquals(first, Splits.split(labels, 0.5, 3, 0).first());
    assertFalse(Arrays.equals(first, Splits.split(labels, 0.5, 4, 0).first()));
  }

  @Test
  void aLimitKeepsEveryClass() {
    int[] labels = IntStream.range(0, 1000).map(i -> i % 10).toArray();
    Splits splits = Splits.split(labels, 0.8, 1, 100);
    assertEquals(80, splits.first().length);
    assertEquals(20, splits.second().length);
    for (int c = 0; c < 10; c++) {
      int wanted = c;
      assertEquals(2, Arrays.stream(splits.second()).filter(i -> labels[i] == wanted).count());
    }
  }

  private static void assertSorted(int[] numbers) {
    int[] sorted = numbers.clone();
    Arrays.sort(sorted);
    assertArrayEquals(sorted, numbers);
  }
}
