package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import java.util.function.Function;
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
      List<Copy> single = read(ones, 2, 0);
      List<Copy> many = read(tens, 2, 0);
      for (Function<Copy, List<?>> part :
          List.<Function<Copy, List<?>>>of(Copy::images, Copy::windows)) {
        List<?> a = single.stream().flatMap(c -> part.apply(c).stream()).toList();
        List<?> b = many.stream().flatMap(c -> part.apply(c).stream()).toList();
        assertEquals(a, b.subList(0, a.size()));
      }
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
        assertEquals(last.windows().subList(6, 9), last.windows().subList(3 * i, 3 * i + 3));
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
  void partsOfBatchesAreTheBatches() {
    try (BatchLoader whole = augmented(3, 2, 12).dropLast(true).build()) {
      List<Copy> batches = read(whole, 1, 1);
      List<List<Copy>> parts = new ArrayList<>();
      for (int rank = 0; rank < 3; rank++) {
        try (BatchLoader part = augmented(3, 2, 12).dropLast(true).share(rank, 3).build()) {
          assertEquals(whole.batches(), part.batches());
          parts.add(read(part, 1, 1));
        }
      }
      for (int b = 0; b < batches.size(); b++) {
        List<Integer> numbers = new ArrayList<>();
        List<Object> windows = new ArrayList<>();
        for (List<Copy> part : parts) {
          assertEquals(4, part.get(b).count());
          numbers.addAll(part.get(b).numbers());
          windows.addAll(part.get(b).windows());
        }
        assertEquals(batches.get(b).numbers(), numbers);
        assertEquals(batches.get(b).windows(), windows);
      }
    }
    for (BatchLoader.Builder wrong :
        List.of(augmented(3, 2, 12).dropLast(true).share(0, 5), augmented(3, 2, 12).share(0, 3))) {
      assertThrows(IllegalArgumentException.class, wrong::build);
    }
    assertThrows(
        IndexOutOfBoundsException.class,
        () -> augmented(3, 2, 12).dropLast(true).share(3, 3).build());
  }

  @Test
  void givesWholeImagesInTheOrderGivenUnlessTold() {
    try (BatchLoader loader = BatchLoader.over(set, new int[] {9, 4}).batchSize(2).build()) {
      Copy copy = read(loader, 3, 0).getFirst();
      assertEquals(List.of(9, 4), copy.numbers());
      assertEquals(List.of(set.label(9), set.label(4)), copy.labels());
      assertEquals(List.of(0, 0, 0, 0, 0, 0), copy.windows());
      int n = SHAPE.elements();
      assertEquals(TestImages.bytes(set.image(9)), copy.images().subList(0, n));
      assertEquals(TestImages.bytes(set.image(4)), copy.images().subList(n, 2 * n));
    }
  }

  /** Every window must be one that the rule allows, mirrored or not, and nearly all must occur. */
  @Test
  void windowsLieWithinThePadding() {
    int padding = 4;
    Set<List<Integer>> seen = new HashSet<>();
    try (BatchLoader loader =
        BatchLoader.over(set, TestImages.all(set))
            .batchSize(1)
            .augmentation(Augmentation.cropAndFlip(padding))
            .random(11, 0)
            .build()) {
      for (int epoch = 0; epoch < 8; epoch++) {
        for (Copy copy : read(loader, epoch, 0)) {
          assertEquals(
              TestImages.bytes(set.image(copy.numbers().getFirst())),
              copy.images(),
              "bytes travel as they are");
          List<Integer> window = copy.windows();
          assertTrue(Math.abs(window.get(0)) <= padding, window.toString());
          assertTrue(Math.abs(window.get(1)) <= padding, window.toString());
          assertTrue(window.get(2) == 0 || window.get(2) == 1, window.toString());
          seen.add(window);
        }
      }
    }
    assertTrue(seen.size() > 100, "of 162 windows only " + seen.size());
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
        IllegalStateException.class, () -> batch.images().get(JAVA_BYTE, 0), "freed memory");
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
