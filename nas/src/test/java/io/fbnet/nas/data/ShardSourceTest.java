package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ShardSourceTest {
  private static final ImageShape SHAPE = new ImageShape(3, 9, 8);
  private static final long SEED = 20261129L;

  @TempDir private Path folder;
  private final List<String> notices = TestFiles.notices();

  private Path data() {
    return folder.resolve("pets");
  }

  private DataOptions options() {
    return TestFiles.options(data(), SHAPE, folder.resolve("cache"), notices);
  }

  @Test
  void imagesAreThoseOfAFolderWithTheSameFiles() throws IOException {
    TestShards.folder(data(), 3, 4);
    Path files = folder.resolve("files");
    for (int i = 0; i < 16; i++) {
      String format = i % 2 == 0 ? "png" : "jpeg";
      byte[] image = TestFiles.encode(TestFiles.gradient(12 + i % 5, 10 + i % 7, i), format);
      String split = i < 12 ? "train" : "test";
      TestFiles.write(files.resolve(split + "/" + i % 2 + "/" + (10 + i) + ".image"), image);
    }
    DataOptions asFolder = TestFiles.options(files, SHAPE, folder.resolve("cache"), notices);
    try (Dataset shards = DataSource.open(options());
        Dataset plain = DataSource.open(asFolder)) {
      assertEquals("pets", shards.name());
      assertEquals(List.of("0", "1"), shards.classes());
      assertEquals(plain.normalisation(), shards.normalisation());
      assertEquals(12, shards.train().size());
      assertEquals(4, shards.test().size());
      for (int i = 0; i < 12; i++) {
        assertEquals(i % 2, shards.train().label(i));
        // A folder has its classes one after the other.
        assertArrayEquals(
            image(plain.train(), i % 2 * 6 + i / 2), image(shards.train(), i), "" + i);
      }
      for (int i = 0; i < 4; i++) {
        assertArrayEquals(image(plain.test(), i % 2 * 2 + i / 2), image(shards.test(), i), "" + i);
      }
    }
  }

  private static byte[] image(ImageSet set, int i) {
    return set.image(i).toArray(JAVA_BYTE);
  }

  @Test
  void theIndexIsKeptAndReadAgainWhereItIsDamagedOrShardsChanged() throws IOException {
    TestShards.folder(data(), 2, 5);
    String first = fingerprint();
    assertTrue(notices.stream().anyMatch(n -> n.contains("3 shards for the first time")));
    Path index = index();
    notices.clear();
    assertEquals(first, fingerprint());
    assertEquals(List.of(), notices);
    byte[] whole = Files.readAllBytes(index);
    for (int at : new int[] {0, 9, 13, 40, whole.length - 30, whole.length - 1}) {
      byte[] damaged = whole.clone();
      damaged[at] ^= 4;
      Files.write(index, damaged);
      assertEquals(first, fingerprint(), "byte " + at);
      assertTrue(notices.stream().anyMatch(n -> n.contains("is not usable")), notices::toString);
      notices.clear();
      assertArrayEquals(whole, Files.readAllBytes(index));
    }
    Files.write(index, Arrays.copyOf(whole, 20));
    assertEquals(first, fingerprint());
    // Another image in place of one of them.
    new TestShards()
        .sample("a", 40, 0)
        .sample("b", 41, 1)
        .write(data().resolve("pets-train-1.tar"));
    assertNotEquals(first, fingerprint());
  }

  @Test
  void anIndexIsNotBelievedWhereItsChecksumIsRightAndItsNumbersAreNot() throws IOException {
    TestShards.folder(data(), 2, 5);
    String first = fingerprint();
    Path index = index();
    byte[] whole = Files.readAllBytes(index);
    int lastImage = whole.length - 8 - 20;
    int[][] lies = {
      {12, Integer.MAX_VALUE}, // bytes of JSON, more than any file has
      {12, whole.length - 16 - 8 + 1}, // one more than this one has
      {lastImage, 3}, // a shard that is none
      {lastImage + 4, 1}, // an offset beyond any shard
      {lastImage + 12, Integer.MAX_VALUE}, // bytes beyond the shard's end
      {lastImage + 16, 2} // a class that is none
    };
    for (int[] lie : lies) {
      byte[] wrong = whole.clone();
      ByteBuffer.wrap(wrong).putInt(lie[0], lie[1]);
      Files.write(index, TestShards.withRightSum(wrong));
      notices.clear();
      String what = lie[1] + " at " + lie[0];
      assertEquals(first, fingerprint(), what);
      assertEquals(1, notices.size(), what + ": " + notices);
      assertTrue(notices.getFirst().contains("what it says of itself is wrong"), notices::toString);
    }
  }

  private Path index() throws IOException {
    try (Stream<Path> files = Files.list(folder.resolve("cache/shards"))) {
      return files.toList().getFirst();
    }
  }

  private String fingerprint() {
    try (Dataset data = DataSource.open(options())) {
      return data.fingerprint();
    }
  }

  /** Batches of an epoch from one on. */
  private List<List<Integer>> batches(Dataset data, int epoch, int from, int rank, int ranks) {
    List<List<Integer>> numbers = new ArrayList<>();
    try (BatchLoader loader =
        BatchLoader.over(data.train(), IntStream.range(0, data.train().size()).toArray())
            .batchSize(6)
            .random(SEED, 1)
            .shuffle(true)
            .dropLast(true)
            .share(rank, ranks)
            .build()) {
      loader.start(epoch, from);
      for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
        TestImages.Copy copy = TestImages.Copy.of(batch);
        numbers.add(copy.numbers());
        List<Byte> pixels = new ArrayList<>();
        copy.numbers().forEach(n -> pixels.addAll(TestImages.bytes(data.train().image(n))));
        assertEquals(pixels, copy.images());
      }
    }
    return numbers;
  }

  @Test
  void batchesGoOnAnywhereAndAreSharedByRanks() throws IOException {
    TestShards.folder(data(), 4, 6);
    try (Dataset data = DataSource.open(options())) {
      List<List<Integer>> whole = batches(data, 2, 0, 0, 1);
      assertEquals(4, whole.size());
      assertEquals(24, new HashSet<>(whole.stream().flatMap(List::stream).toList()).size());
      assertEquals(whole.subList(2, 4), batches(data, 2, 2, 0, 1), "seed " + SEED);
      assertNotEquals(whole, batches(data, 3, 0, 0, 1), "seed " + SEED);
      List<List<Integer>> first = batches(data, 2, 1, 0, 2);
      List<List<Integer>> second = batches(data, 2, 1, 1, 2);
      for (int b = 0; b < 3; b++) {
        List<Integer> both = new ArrayList<>(first.get(b));
        both.addAll(second.get(b));
        assertEquals(whole.get(b + 1), both, "seed " + SEED);
      }
    }
  }

  @Test
  void anOrderTakesShardsAsTheyAreDrawnAndMovesImagesWithinAWindow() {
    int each = 3 * BatchFiller.SHARD_WINDOW;
    int[] firsts = IntStream.range(0, 8).map(s -> s * each).toArray();
    ImageSet set =
        ImageSet.inShards(
            "train", SHAPE, (numbers, to) -> {}, new int[8 * each], List.of("one"), firsts);
    int[] some = IntStream.range(0, 8 * each).filter(i -> i % 5 != 2).toArray();
    BatchFiller filler =
        new BatchFiller(
            set, some, ClassBalance.NONE, Augmentation.none(), Optional.empty(), SEED, 1);
    Set<List<Integer>> shardOrders = new HashSet<>();
    for (int epoch = 0; epoch < 3; epoch++) {
      long[] drawn = filler.order(some, epoch);
      int[] order = Arrays.stream(drawn).mapToInt(Math::toIntExact).toArray();
      assertArrayEquals(some, Arrays.stream(order).sorted().toArray(), "seed " + SEED);
      int perShard = some.length / 8;
      List<Integer> shards = new ArrayList<>();
      int stayed = 0;
      for (int i = 0; i < order.length; i++) {
        int shard = order[i] / each;
        if (i % perShard == perShard / 2) {
          shards.add(shard);
        }
        stayed += i > 0 && order[i] > order[i - 1] && order[i] - order[i - 1] < 3 ? 1 : 0;
      }
      assertEquals(8, new HashSet<>(shards).size(), "seed " + SEED);
      shardOrders.add(shards);
      assertTrue(stayed < order.length / 100, stayed + " neighbours stayed, seed " + SEED);
      for (int i = 0; i < order.length; i++) {
        int place = shards.indexOf(order[i] / each) * perShard;
        // In its shard's stretch of the row, or less than a window behind it.
        assertTrue(i >= place - BatchFiller.SHARD_WINDOW, "seed " + SEED);
        assertTrue(i < place + perShard + BatchFiller.SHARD_WINDOW, "seed " + SEED);
      }
      assertArrayEquals(drawn, filler.order(some, epoch));
    }
    assertEquals(3, shardOrders.size(), "seed " + SEED);
    BatchLoader.Builder balanced =
        BatchLoader.over(set, some).shuffle(true).balance(ClassBalance.SAMPLING);
    UserException e = assertThrows(UserException.class, balanced::build);
    assertTrue(e.getMessage().contains("lie in shards"), e.getMessage());
  }

  @Test
  void subfoldersOfSplitsAndNamedClassesDoAsWell() throws IOException {
    new TestShards().sample("0", 0, 0).sample("1", 1, 1).write(data().resolve("train/000.tar"));
    new TestShards().sample("2", 2, 1).write(data().resolve("validation/000.tar"));
    Files.writeString(data().resolve("classes.txt"), "cat\ndog\n");
    try (Dataset data = DataSource.open(options())) {
      assertEquals(List.of("cat", "dog"), data.classes());
      assertEquals(List.of(2, 1), List.of(data.train().size(), data.test().size()));
    }
    Files.writeString(data().resolve("classes.txt"), "cat\ndog\nbird\n");
    Refusals.data(() -> DataSource.open(options()), "bird", "classes.txt");
    Files.writeString(data().resolve("classes.txt"), "cat\n");
    Refusals.data(() -> DataSource.open(options()), "000.tar:1.JPG", "class 1", "classes.txt");
    Files.writeString(data().resolve("classes.txt"), "cat\n\n");
    Refusals.data(() -> DataSource.open(options()), "classes.txt, line 2");
  }

  @Test
  void whatIsNotDividedServesEvaluationAlone() throws IOException {
    new TestShards().sample("0", 0, 0).sample("1", 1, 1).write(data().resolve("000.tar"));
    Refusals.data(() -> DataSource.open(options()), "no shards of test images", "test-*.tar");
    try (Dataset data = DataSource.open(options().withWhole())) {
      assertEquals(2, data.test().size());
    }
  }

  @Test
  void badSamplesAreNamedOrLeftOut() throws IOException {
    new TestShards()
        .sample("0", 0, 0)
        .sample("1", 1, 1)
        .add("none.jpg", TestFiles.encode(TestFiles.gradient(9, 9, 1), "jpeg"))
        .add("lone.cls", "1".getBytes(StandardCharsets.US_ASCII))
        .sample("2", 2, 1)
        .add("text.png", "no image".getBytes(StandardCharsets.US_ASCII))
        .add("text.cls", "0".getBytes(StandardCharsets.US_ASCII))
        .add("odd.png", TestFiles.encode(TestFiles.gradient(9, 9, 1), "png"))
        .add("odd.cls", "cat".getBytes(StandardCharsets.US_ASCII))
        .add("notes", new byte[3])
        .write(data().resolve("train-0.tar"));
    new TestShards().sample("3", 3, 0).sample("4", 4, 1).write(data().resolve("test-0.tar"));
    Refusals.data(
        () -> DataSource.open(options()), "train-0.tar:", "has no label", "none.cls", "skip");
    DataOptions skipping = options().withBadSamples(BadSamplePolicy.skipCount(4));
    for (int pass = 0; pass < 2; pass++) {
      notices.clear();
      try (Dataset data = DataSource.open(skipping)) {
        assertEquals(3, data.train().size());
        assertArrayEquals(new int[] {0, 1, 1}, data.train().labels());
      }
      String said = notices.toString();
      for (String words :
          List.of("left out 4 bad of 9", "lone has a label and no image", "'cat'")) {
        assertTrue(said.contains(words), said);
      }
    }
    Refusals.data(
        () -> DataSource.open(options().withBadSamples(BadSamplePolicy.skipCount(3))), "4 of 9");
    DataCheck.Report report = DataCheck.run(options());
    assertEquals(4, report.problems().size(), report::toString);
    assertEquals(List.of(1, 2), report.trainCounts());
  }

  @ParameterizedTest
  @ValueSource(ints = {700, 1000, 3000})
  void aShardThatEndsEarlyIsRefused(int bytes) throws IOException {
    TestShards.folder(data(), 2, 5);
    Path shard = data().resolve("pets-train-1.tar");
    byte[] whole = Files.readAllBytes(shard);
    assertTrue(whole.length > 3000);
    Files.write(shard, Arrays.copyOf(whole, bytes));
    Refusals.data(() -> DataSource.open(options()), shard.toString(), "is no whole tar file");
  }

  @Test
  void aShardThatIsCutWhileItIsReadIsNamed() throws IOException {
    TestShards.folder(data(), 2, 5);
    try (Dataset data = DataSource.open(options())) {
      Path shard = data().resolve("pets-train-1.tar");
      Files.write(shard, Arrays.copyOf(Files.readAllBytes(shard), 600));
      assertEquals(SHAPE.elements(), image(data.train(), 4).length);
      Refusals.data(() -> data.train().image(8), shard.toString(), "was whole", "ends early");
    }
  }

  @Test
  void tarFilesBesideFoldersOfClassesAreNotRead() throws IOException {
    TestFiles.imageFolder(data(), 2, 1);
    new TestShards().sample("0", 0, 0).write(data().resolve("images-train.tar"));
    try (Dataset data = DataSource.open(options())) {
      assertEquals(List.of("cat", "dog"), data.classes());
    }
  }

  @Test
  void badImagesAreAShareOfAll() throws IOException {
    TestShards.folder(data(), 4, 5);
    new TestShards()
        .sample("0", 0, 0)
        .add("text.png", "no image".getBytes(StandardCharsets.US_ASCII))
        .add("text.cls", "0".getBytes(StandardCharsets.US_ASCII))
        .write(data().resolve("pets-train-0.tar"));
    try (Dataset data = DataSource.open(options().withBadSamples(BadSamplePolicy.skipShare(0.1)))) {
      assertEquals(16, data.train().size());
    }
  }

  @Test
  void theFingerprintKnowsWhereShardsEnd() throws IOException {
    TestShards two = new TestShards().sample("0", 0, 0).sample("1", 1, 1);
    two.write(data().resolve("train-0.tar"));
    new TestShards().sample("2", 2, 1).write(data().resolve("train-1.tar"));
    new TestShards().sample("3", 3, 0).write(data().resolve("test-0.tar"));
    String first = fingerprint();
    two.sample("2", 2, 1).write(data().resolve("train-0.tar"));
    Files.delete(data().resolve("train-1.tar"));
    assertNotEquals(first, fingerprint());
  }

  @Test
  void aCheckGoesOnBehindADamagedShard() throws IOException {
    TestShards.folder(data(), 3, 4);
    Path shard = data().resolve("pets-train-1.tar");
    Files.write(shard, Arrays.copyOf(Files.readAllBytes(shard), 700));
    DataCheck.Report report = DataCheck.run(options());
    assertEquals(1, report.problems().size(), report::toString);
    assertEquals(shard.toString(), report.problems().getFirst().file());
    assertEquals(List.of(4, 4), report.trainCounts());
  }

  @Test
  void whoOnlyTestsTakesTheIndexOrReadsTestShardsAlone() throws IOException {
    TestShards.folder(data(), 3, 4);
    DataOptions testing = options().withWhole();
    try (Dataset data = DataSource.open(testing)) {
      assertEquals(List.of(0, 4), List.of(data.train().size(), data.test().size()));
    }
    String _ = fingerprint();
    notices.clear();
    try (Dataset data = DataSource.open(testing)) {
      assertEquals(List.of(12, 4), List.of(data.train().size(), data.test().size()));
    }
    assertEquals(List.of(), notices);
  }

  @Test
  void linksSecondImagesAndShardsOfNoSplitAreTold() throws IOException {
    TestShards.folder(data(), 1, 4);
    new TestShards().sample("0", 0, 0).write(data().resolve("extra-0.tar"));
    new TestShards()
        .sample("0", 0, 0)
        .sample("1", 1, 1)
        .add("1.PNG", TestFiles.encode(TestFiles.gradient(9, 9, 1), "png"))
        .link("2.jpg", "1.JPG")
        .write(data().resolve("pets-train-0.tar"));
    try (Dataset data =
        DataSource.open(options().withBadSamples(BadSamplePolicy.skipCount(2)).withWhole())) {
      assertEquals(4, data.test().size());
    }
    Refusals.data(
        () -> DataSource.open(options().withBadSamples(BadSamplePolicy.skipCount(1))),
        "2.jpg is a link",
        "1.PNG is the second image of its sample");
    assertTrue(notices.toString().contains("left out 1 shards of"), notices::toString);
  }
}
