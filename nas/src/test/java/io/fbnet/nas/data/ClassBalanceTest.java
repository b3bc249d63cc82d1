package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.data.TestImages.Copy;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Weights and draws that make up for uneven classes. */
class ClassBalanceTest {
  private static final ImageShape SHAPE = new ImageShape(1, 2, 2);
  private static final int EPOCHS = 4;

  private final long seed = System.nanoTime();
  private final Random random = new Random(seed);

  /** A set whose classes have these numbers of images, in any order. */
  private ImageSet set(int... counts) {
    List<Integer> labels = new ArrayList<>();
    for (int c = 0; c < counts.length; c++) {
      labels.addAll(Collections.nCopies(counts[c], c));
    }
    Collections.shuffle(labels, random);
    byte[] pixels = new byte[labels.size() * SHAPE.elements()];
    return ImageSet.of(
        "train",
        SHAPE,
        MemorySegment.ofArray(pixels),
        labels.stream().mapToInt(l -> l).toArray(),
        TestImages.classes(counts.length));
  }

  private BatchLoader.Builder loader(ImageSet set, int batch, ClassBalance balance) {
    return BatchLoader.over(set, TestImages.all(set))
        .batchSize(batch)
        .augmentation(Augmentation.cropAndFlip(500))
        .random(seed, 5)
        .balance(balance)
        .shuffle(true);
  }

  private static List<Copy> read(BatchLoader loader, int epoch, int from) {
    loader.start(epoch, from);
    List<Copy> copies = new ArrayList<>();
    for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
      copies.add(Copy.of(batch));
    }
    return copies;
  }

  private static List<Integer> numbers(List<Copy> copies) {
    return copies.stream().flatMap(c -> c.numbers().stream()).toList();
  }

  @Test
  void everyClassAndEachOfItsImagesComeAsOften() {
    System.out.println("ClassBalanceTest seed " + seed);
    for (int[] counts :
        new int[][] {{90, 7, 3}, {1, 200, 30, 0, 11}, {5, 5, 5}, {64}, {1, 1}, {13, 500}}) {
      ImageSet set = set(counts);
      String what = Arrays.toString(counts) + ", seed " + seed;
      int present = (int) Arrays.stream(counts).filter(c -> c > 0).count();
      Set<List<Integer>> orders = new HashSet<>();
      try (BatchLoader loader = loader(set, 8, ClassBalance.SAMPLING).build()) {
        assertEquals(set.size(), loader.imagesPerEpoch(), what);
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
          List<Integer> numbers = numbers(read(loader, epoch, 0));
          orders.add(numbers);
          assertEquals(set.size(), numbers.size(), what);
          int[] ofImages = new int[set.size()];
          int[] ofClasses = new int[counts.length];
          for (int image : numbers) {
            ofImages[image]++;
            ofClasses[set.label(image)]++;
          }
          for (int c = 0; c < counts.length; c++) {
            int share = counts[c] == 0 ? 0 : set.size() / present;
            int more = counts[c] > 0 && set.size() % present > 0 ? 1 : 0;
            int own = ofClasses[c];
            assertTrue(share <= own && own <= share + more, what + ": " + own + " of " + c);
            for (int i = 0; i < ofImages.length; i++) {
              if (set.label(i) == c) {
                int times = ofImages[i];
                assertTrue(
                    own / counts[c] <= times && times <= Math.ceilDiv(own, counts[c]),
                    what + ": image " + i + " comes " + times + " times");
              }
            }
          }
        }
      }
      if (set.size() > 20) {
        assertEquals(EPOCHS, orders.size(), what);
      }
    }
  }

  /** In each half of an epoch: classes do not come one after another. */
  @Test
  void classesAreMixed() {
    ImageSet set = set(1900, 90, 10);
    try (BatchLoader loader = loader(set, 1000, ClassBalance.SAMPLING).build()) {
      for (Copy half : read(loader, 0, 0)) {
        for (int c = 0; c < 3; c++) {
          int label = c;
          long own = half.labels().stream().filter(l -> l == label).count();
          // Seven standard deviations of a draw without replacement.
          assertEquals(1000 / 3.0, (double) own, 75, "class " + c + ", seed " + seed);
        }
      }
    }
  }

  @Test
  void whichImagesOfAFrequentClassComeChangesFromEpochToEpoch() {
    ImageSet set = set(100, 20);
    Set<Integer> seen = new HashSet<>();
    try (BatchLoader loader = loader(set, 8, ClassBalance.SAMPLING).build()) {
      for (int epoch = 0; epoch < 12; epoch++) {
        seen.addAll(numbers(read(loader, epoch, 0)));
      }
    }
    // An image is missed by chance with a probability of 0.4 to the power of 12.
    assertTrue(seen.size() >= 118, seen.size() + " of 120, seed " + seed);
  }

  @Test
  void anImageThatComesAgainIsCutAnew() {
    ImageSet set = set(60, 1);
    Map<Integer, Set<List<Integer>>> windows = new HashMap<>();
    int single = IntStream.range(0, set.size()).filter(i -> set.label(i) == 1).sum();
    try (BatchLoader loader = loader(set, 1, ClassBalance.SAMPLING).build()) {
      List<Copy> copies = read(loader, 0, 0);
      for (Copy copy : copies) {
        windows
            .computeIfAbsent(copy.numbers().getFirst(), i -> new HashSet<>())
            .add(copy.windows());
      }
      long times = copies.stream().filter(c -> c.numbers().getFirst() == single).count();
      assertTrue(times >= 30, times + " times, seed " + seed);
      // Of a million windows two of thirty are alike about once in two thousand times.
      assertTrue(windows.get(single).size() >= times - 2, "seed " + seed);
    }
  }

  @Test
  void itGoesOnWhereItStoppedAndRanksTakeTheirParts() {
    ImageSet set = set(70, 20, 9, 1);
    try (BatchLoader whole = loader(set, 12, ClassBalance.SAMPLING).dropLast(true).build()) {
      List<Copy> batches = read(whole, 2, 0);
      assertNotEquals(numbers(batches), numbers(read(whole, 1, 0)));
      assertEquals(batches.subList(5, batches.size()), read(whole, 2, 5), "seed " + seed);
      for (int rank = 0; rank < 3; rank++) {
        try (BatchLoader part =
            loader(set, 12, ClassBalance.SAMPLING).dropLast(true).share(rank, 3).build()) {
          List<Copy> parts = read(part, 2, 0);
          for (int b = 0; b < batches.size(); b++) {
            Copy all = batches.get(b);
            assertEquals(
                all.numbers().subList(4 * rank, 4 * rank + 4),
                parts.get(b).numbers(),
                "seed " + seed);
            assertEquals(
                all.windows().subList(12 * rank, 12 * rank + 12),
                parts.get(b).windows(),
                "seed " + seed);
          }
        }
      }
    }
    BatchLoader.Builder unshuffled = loader(set, 12, ClassBalance.SAMPLING).shuffle(false);
    assertThrows(IllegalArgumentException.class, unshuffled::build);
  }

  @Test
  void weightsAreThoseOfTheLoadersOwnImages() {
    ImageSet set = set(50, 24, 6, 0);
    // Of class 0 only 25 images, so 55 in three classes.
    int[] left = {25};
    int[] some =
        IntStream.range(0, set.size()).filter(i -> set.label(i) > 0 || left[0]-- > 0).toArray();
    double[] expected = {55 / (3 * 25.0), 55 / (3 * 24.0), 55 / (3 * 6.0)};
    double sum = 0;
    try (BatchLoader loader =
        BatchLoader.over(set, some)
            .batchSize(11)
            .shuffle(true)
            .random(seed, 1)
            .balance(ClassBalance.WEIGHTS)
            .build()) {
      loader.start(0, 0);
      for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
        MemorySegment weights = batch.weights().orElseThrow();
        assertEquals(11 * Float.BYTES, weights.byteSize());
        for (int i = 0; i < 11; i++) {
          float weight = weights.getAtIndex(JAVA_FLOAT, i);
          assertEquals((float) expected[batch.labels().getAtIndex(JAVA_INT, i)], weight);
          sum += weight;
        }
      }
      assertEquals(55, sum, 1e-3, "the mean is 1");
    }
    try (BatchLoader plain = loader(set, 8, ClassBalance.NONE).build()) {
      plain.start(0, 0);
      assertTrue(plain.next().weights().isEmpty());
    }
  }

  @Test
  void unevennessNamesTheTwoClassesBeyondTwentyToOne() {
    List<String> names = List.of("cat", "dog", "eel");
    assertTrue(new ClassCounts(names, List.of(100, 5, 0)).unevenness().isEmpty());
    assertTrue(new ClassCounts(names, List.of(0, 0, 0)).unevenness().isEmpty());
    assertTrue(new ClassCounts(List.of(), List.of()).unevenness().isEmpty());
    String said = new ClassCounts(names, List.of(5, 101, 0)).unevenness().orElseThrow();
    assertTrue(said.startsWith("'dog' has 101 training images and 'cat' 5,"), said);
    assertTrue(said.contains("--class-weights balanced"), said);
    assertTrue(said.contains("--class-sampling balanced"), said);
    assertThrows(IllegalArgumentException.class, () -> new ClassCounts(names, List.of(1)));
    assertArrayEquals(
        new float[] {0, 40 / 60f, 40 / 20f}, new ClassCounts(names, List.of(0, 30, 10)).weights());
  }
}
