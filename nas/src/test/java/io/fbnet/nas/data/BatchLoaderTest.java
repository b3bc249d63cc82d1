package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.TestImages.Copy;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class BatchLoaderTest {
  private static final ImageShape SHAPE = new ImageShape(3, 6, 5);
  private final ImageSet set = TestImages.random(SHAPE, 53, 4, 1);

  @Test
  void resumingGivesBitIdenticalBatches() {
    long seed = System.nanoTime();
    System.out.println("BatchLoaderTest seed " + seed);
    Random random = new Random(seed);
    for (int round = 0; round < 10; round++) {
      long drawSeed = random.nextLong();
      int batchSize = 1 + random.nextInt(20);
      int epoch = random.nextInt(5);
      List<Copy> whole;
      try (BatchLoader loader = augmented(drawSeed, 7, batchSize).build()) {
        whole = read(loader, epoch, 0);
        int from = random.nextInt(loader.batches() + 1);
        assertEquals(whole.subList(from, whole.size()), read(loader, epoch, from));
      }
      try (BatchLoader other = augmented(drawSeed, 7, batchSize).slots(2).build()) {
        read(other, epoch + 1, 0);
        assertEquals(whole, read(other, epoch, 0));
      }
    }
  }

  @Test
  void augmentationBelongsToTheImageAndNotToItsBatch() {
    try (BatchLoader ones = augmented(5, 1, 1).build();
        BatchLoader tens = augmented(5, 1, 10).build()) {
      List<Float> a = read(ones, 2, 0).stream().flatMap(c -> c.images().stream()).toList();
      List<Float> b = read(tens, 2, 0).stream().flatMap(c -> c.images().stream()).toList();
      assertEquals(a, b.subList(0, a.size()));
    }
  }

  @Test
  void seedStreamAndEpochEachChangeTheOrder() {
    Set<List<Integer>> orders = new HashSet<>();
    for (long seed : new long[] {1, 2, 1L << 40}) {
      for (int stream : new int[] {0, 1}) {
        try (BatchLoader loader = augmented(seed, stream, 53).build()) {
          orders.add(read(loader, 0, 0).getFirst().numbers());
          orders.add(read(loader, 1, 0).getFirst().numbers());
        }
      }
    }
    assertEquals(12, orders.size());
  }

  @Test
  void everyImageComesOnceAndTheLastBatchIsPadded() {
    try (BatchLoader loader = augmented(1, 1, 10).build()) {
      assertEquals(6, loader.batches());
      assertEquals(53, loader.imagesPerEpoch());
      List<Copy> batches = read(loader, 0, 0);
      List<Integer> numbers = batches.stream().flatMap(c -> c.numbers().stream()).sorted().toList();
      assertEquals(IntStream.range(0, 53).boxed().toList(), numbers);
      Copy last = batches.getLast();
      assertEquals(3, last.count());
      int n = SHAPE.elements();
      for (int i = 3; i < 10; i++) {
        assertEquals(
            last.images().subList(2 * n, 3 * n), last.images().subList(i * n, (i + 1) * n));
        assertEquals(last.labels().get(2), last.labels().get(i));
      }
      assertNull(loader.next(), "the epoch stays over");
    }
  }

  @Test
  void dropsTheLastUnevenBatch() {
    try (BatchLoader loader = augmented(1, 1, 10).dropLast(true).build()) {
      assertEquals(5, read(loader, 0, 0).size());
      assertEquals(50, loader.imagesPerEpoch());
    }
    UserException e =
        assertThrows(UserException.class, () -> augmented(1, 1, 54).dropLast(true).build());
    assertTrue(e.getMessage().contains("53"), e.getMessage());
  }

  @Test
  void normalisesWithoutAugmentationInTheOrderGiven() {
    float[] mean = {0.1f, 0.2f, 0.3f};
    float[] std = {0.5f, 0.25f, 2f};
    try (BatchLoader loader =
        BatchLoader.over(set, new int[] {9, 4}).batchSize(2).normalisation(mean, std).build()) {
      Copy copy = read(loader, 3, 0).getFirst();
      assertEquals(List.of(9, 4), copy.numbers());
      assertEquals(List.of(set.label(9), set.label(4)), copy.labels());
      byte[] pixels = set.image(4).toArray(JAVA_BYTE);
      for (int i = 0; i < pixels.length; i++) {
        int c = i / 30;
        float expected = (float) (((pixels[i] & 255) / 255.0 - mean[c]) / std[c]);
        assertEquals(expected, copy.images().get(pixels.length + i));
      }
    }
  }

  /** Every augmented image must be one of the windows, mirrored or not, that the rule allows. */
  @Test
  void cropsAndFlipsAreWindowsOfThePaddedImage() {
    int padding = 4;
    Set<String> seen = new HashSet<>();
    try (BatchLoader loader =
        BatchLoader.over(set, TestImages.all(set))
            .batchSize(1)
            .augmentation(Augmentation.cropAndFlip(padding))
            .random(11, 0)
            .build()) {
      for (int epoch = 0; epoch < 8; epoch++) {
        for (Copy copy : read(loader, epoch, 0)) {
          String window = window(copy, padding);
          assertNotEquals("", window, "image " + copy.numbers() + " is no window of its source");
          seen.add(window);
        }
      }
    }
    assertTrue(seen.size() > 100, "of 162 windows only " + seen.size());
  }

  private String window(Copy copy, int padding) {
    byte[] source = set.image(copy.numbers().getFirst()).toArray(JAVA_BYTE);
    for (int down = -padding; down <= padding; down++) {
      for (int right = -padding; right <= padding; right++) {
        for (boolean flip : new boolean[] {false, true}) {
          if (matches(copy.images(), source, down, right, flip)) {
            return down + " " + right + " " + flip;
          }
        }
      }
    }
    return "";
  }

  private static boolean matches(
      List<Float> images, byte[] source, int down, int right, boolean flip) {
    for (int i = 0; i < source.length; i++) {
      int c = i / 30;
      int y = i % 30 / 5 + down;
      int x = (flip ? 4 - i % 5 : i % 5) + right;
      int pixel = y < 0 || y > 5 || x < 0 || x > 4 ? 0 : source[c * 30 + y * 5 + x] & 255;
      if (images.get(i) != (float) (pixel / 255.0)) {
        return false;
      }
    }
    return true;
  }

  @Test
  void aFailureOfTheReadingThreadReachesTheReader() {
    ImageSet lost;
    try (Arena arena = Arena.ofShared()) {
      MemorySegment pixels = arena.allocate(4L * SHAPE.elements());
      lost = ImageSet.of("train", SHAPE, pixels, new int[4], List.of("one"));
    }
    try (BatchLoader loader = BatchLoader.over(lost, new int[] {0, 1}).build()) {
      loader.start(0, 0);
      assertThrows(IllegalStateException.class, loader::next);
      assertThrows(IllegalStateException.class, loader::next, "it does not turn into an end");
    }
  }

  @Test
  void manualReleaseKeepsBatchesUntilTheyAreGivenBack() {
    try (BatchLoader loader = augmented(1, 1, 4).slots(2).manualRelease(true).build()) {
      loader.start(0, 0);
      Batch first = loader.next();
      Copy before = Copy.of(first);
      Batch second = loader.next();
      assertEquals(before, Copy.of(first));
      assertThrows(IllegalStateException.class, loader::next);
      first.release();
      first.release();
      assertEquals(2, loader.next().index());
      assertEquals(1, second.index());
    }
  }

  @Test
  void closingEndsTheThreadAndFreesTheMemory() throws InterruptedException {
    BatchLoader loader = augmented(1, 1, 4).build();
    loader.start(0, 0);
    Batch batch = loader.next();
    loader.close();
    loader.close();
    assertThrows(
        IllegalStateException.class, () -> batch.images().get(JAVA_FLOAT, 0), "freed memory");
    assertThrows(IllegalStateException.class, () -> loader.start(0, 0));
    assertThrows(IllegalStateException.class, loader::next);
    assertFalse(
        Thread.getAllStackTraces().keySet().stream()
            .anyMatch(t -> t.getName().equals("batch-loader") && t.isAlive()));
  }

  @Test
  void usesTheMemoryItIsGiven() {
    try (Arena arena = Arena.ofShared()) {
      List<MemorySegment> given = new ArrayList<>();
      BatchLoader loader =
          augmented(1, 1, 4)
              .allocator(
                  (bytes, alignment) -> {
                    MemorySegment segment = arena.allocate(bytes, alignment);
                    given.add(segment);
                    return segment;
                  })
              .build();
      try (loader) {
        loader.start(0, 0);
        MemorySegment images = loader.next().images();
        assertTrue(given.stream().anyMatch(s -> s.address() == images.address()));
      }
      assertTrue(given.getFirst().scope().isAlive(), "not the loader's to free");
    }
  }

  @Test
  void anInterruptedReaderIsToldSo() {
    try (BatchLoader loader = augmented(1, 1, 4).build()) {
      loader.start(0, 0);
      Thread.currentThread().interrupt();
      UserException e = assertThrows(UserException.class, loader::next);
      assertSame(ExitCode.INTERRUPTED, e.exitCode());
    } finally {
      assertTrue(Thread.interrupted());
    }
  }

  private BatchLoader.Builder augmented(long seed, int stream, int batchSize) {
    return BatchLoader.over(set, TestImages.all(set))
        .batchSize(batchSize)
        .augmentation(Augmentation.cropAndFlip(2))
        .shuffle(true)
        .random(seed, stream);
  }

  private static List<Copy> read(BatchLoader loader, int epoch, int firstBatch) {
    loader.start(epoch, firstBatch);
    return Stream.iterate(loader.next(), b -> b != null, b -> loader.next()).map(Copy::of).toList();
  }
}
