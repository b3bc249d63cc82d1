package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FolderSourceTest {
  private static final ImageShape SHAPE = new ImageShape(3, 9, 8);
  @TempDir private Path folder;
  private Path images;
  private Path cache;
  private final List<String> notices = TestFiles.notices();

  @BeforeEach
  void writeImages() throws IOException {
    images = TestFiles.imageFolder(folder.resolve("pets"), 6, 2);
    cache = folder.resolve("cache");
  }

  @Test
  void readsSplitsClassesAndStatistics() {
    try (Dataset data = open()) {
      assertEquals("pets", data.name());
      assertEquals(List.of("cat", "dog"), data.classes());
      assertEquals(12, data.train().size());
      assertEquals(4, data.test().size());
      assertEquals(0, data.train().label(0));
      assertEquals(1, data.train().label(11));
      assertEquals(SHAPE, data.test().shape());
      assertEquals(0.5, data.normalisation().mean().get(0), 0.1);
      assertTrue(data.normalisation().std().get(0) > 0.1);
      assertFalse(data.generated());
    }
  }

  @Test
  void opensTheCacheTheSecondTimeWithTheSameContent() throws IOException {
    String fingerprint = fingerprint();
    assertEquals(1, cacheFiles().size());
    assertTrue(said("decoding 16 images"));
    notices.clear();
    assertEquals(fingerprint, fingerprint());
    assertEquals(List.of(), notices);
    try (Dataset data = open();
        Dataset one =
            DataSource.open(options().withThreads(1).withCacheDir(folder.resolve("c1")))) {
      assertEquals(fingerprint, one.fingerprint());
      assertEquals(fingerprint, Dataset.fingerprint(data.train(), data.test()));
      assertEquals(one.normalisation(), data.normalisation());
    }
  }

  @Test
  void rebuildsADamagedCache() throws IOException {
    String fingerprint = fingerprint();
    Path file = cacheFiles().getFirst();
    byte[] whole = Files.readAllBytes(file);
    for (long at : new long[] {3, 20, 5000, whole.length - 5}) {
      try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
        raw.seek(at);
        raw.write(whole[(int) at] ^ 1);
      }
      notices.clear();
      assertEquals(fingerprint, fingerprint());
      assertTrue(said("not usable"), "byte " + at + ": " + notices);
      assertArrayEquals(whole, Files.readAllBytes(file), "rebuilt bit for bit");
    }
    for (int length : new int[] {0, 100, 4096, whole.length - 1}) {
      try (RandomAccessFile raw = new RandomAccessFile(file.toFile(), "rw")) {
        raw.setLength(length);
      }
      notices.clear();
      assertEquals(fingerprint, fingerprint());
      assertTrue(said("not usable"), "length " + length + ": " + notices);
    }
  }

  /** Checksums tell of accidents; a footer may also have been written wrong. */
  @Test
  void rebuildsACacheWhoseFooterIsWrong() throws IOException {
    String fingerprint = fingerprint();
    Path file = cacheFiles().getFirst();
    byte[] whole = Files.readAllBytes(file);
    for (String[] change :
        new String[][] {
          {"\"trainSize\":", "\"trainSize\":-"},
          {"\"testOffset\":", "\"testOffset\":9"},
          {"\"labelsOffset\":", "\"labelsOffset\":1"},
          {"\"channels\":3", "\"channels\":2"},
          {"\"classes\":[", "\"classes\":[null,"},
          {"\"skipped\":[", "\"skipped\":[null"},
          {"\"mean\":[", "\"mean\":[\"x\","},
          {"\"fingerprint\":", "\"print\":"},
        }) {
      writeWithFooter(file, whole, change[0], change[1]);
      notices.clear();
      assertEquals(fingerprint, fingerprint());
      assertTrue(said("what it says of itself is wrong"), change[1] + ": " + notices);
      assertArrayEquals(whole, Files.readAllBytes(file), "rebuilt bit for bit");
    }
  }

  private static void writeWithFooter(Path file, byte[] whole, String from, String to)
      throws IOException {
    int footer = (int) ByteBuffer.wrap(whole).getLong(16);
    String json = new String(whole, footer, whole.length - footer, StandardCharsets.UTF_8);
    assertTrue(json.contains(from), json);
    byte[] changed = json.replace(from, to).getBytes(StandardCharsets.UTF_8);
    int pixels = footer - (int) CacheFile.PREFIX_BYTES;
    ByteBuffer rest = ByteBuffer.allocate(pixels + changed.length);
    rest.put(whole, (int) CacheFile.PREFIX_BYTES, pixels).put(changed).flip();
    CRC32C crc = new CRC32C();
    crc.update(rest.duplicate());
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.truncate(0);
      channel.write(CacheFile.prefix(footer, changed.length, crc.getValue()), 0);
      channel.write(rest, CacheFile.PREFIX_BYTES);
    }
  }

  @Test
  void aChangedFolderIsDecodedAgainAndTheOldCacheRemoved() throws IOException {
    String fingerprint = fingerprint();
    Path old = cacheFiles().getFirst();
    Files.copy(images.resolve("train/cat/0.png"), images.resolve("train/cat/9.png"));
    assertNotEquals(fingerprint, fingerprint());
    assertEquals(1, cacheFiles().size());
    assertNotEquals(old, cacheFiles().getFirst());
  }

  @Test
  void decodesIntoMemoryWhereTheCacheCannotBeWritten() throws IOException {
    String fingerprint = fingerprint();
    Path blocked = Files.writeString(folder.resolve("blocked"), "a file, not a folder");
    notices.clear();
    try (Dataset data = DataSource.open(options().withCacheDir(blocked.resolve("cache")))) {
      assertEquals(fingerprint, data.fingerprint());
    }
    assertEquals(1, notices.stream().filter(n -> n.contains("in memory")).count());
  }

  @Test
  void aBadImageFailsByName() throws IOException {
    spoil("train/dog/3.jpeg");
    UserException e = assertThrows(UserException.class, this::open);
    assertEquals(ExitCode.DATA_OR_CONFIGURATION, e.exitCode());
    assertTrue(e.getMessage().contains("3.jpeg") && e.getMessage().contains("truncated"));
    assertEquals(List.of(), cacheFiles(), "nothing half made is left");
  }

  @Test
  void badImagesAreSkippedUpToTheCapAndNamed() throws IOException {
    spoil("train/cat/0.png");
    spoil("train/dog/3.jpeg");
    assertThrows(
        UserException.class,
        () -> DataSource.open(options().withBadSamples(BadSamplePolicy.skipShare(0.1))));
    DataOptions skip = options().withBadSamples(BadSamplePolicy.skipCount(2));
    String fingerprint;
    try (Dataset data = DataSource.open(skip)) {
      assertEquals(10, data.train().size());
      assertEquals(5, Counts.byClass(data.train())[0]);
      assertEquals(5, Counts.byClass(data.train())[1]);
      fingerprint = data.fingerprint();
    }
    assertTrue(said("left out 2 bad of 16") && said("0.png") && said("3.jpeg"), "" + notices);
    notices.clear();
    try (Dataset data = DataSource.open(skip)) {
      assertEquals(fingerprint, data.fingerprint());
    }
    assertTrue(said("left out 2 bad"), "said again when the cache is taken");
    assertThrows(UserException.class, this::open, "a stricter policy holds for the cache too");
    Files.delete(images.resolve("train/cat/0.png"));
    Files.delete(images.resolve("train/dog/3.jpeg"));
    try (Dataset data = open()) {
      assertEquals(fingerprint, data.fingerprint(), "as if they had never been there");
    }
  }

  @Test
  void keepsATenthForTestingWhereThereIsNoSplit() throws IOException {
    Path flat = folder.resolve("flat");
    for (int i = 0; i < 40; i++) {
      String name = i % 2 == 0 ? "a" : "b";
      TestFiles.write(
          flat.resolve(name).resolve(i + ".ppm"), TestFiles.ppm("P6 1 1 255 ", i, i, i));
    }
    DataOptions options = TestFiles.options(flat, SHAPE, cache, notices);
    String fingerprint;
    try (Dataset data = DataSource.open(options.withSeed(1))) {
      assertEquals(36, data.train().size());
      assertArrayEquals(new int[] {2, 2}, Counts.byClass(data.test()));
      fingerprint = data.fingerprint();
    }
    assertTrue(said("4 of its 40 images") && said("kept for testing"), "" + notices);
    try (Dataset data = DataSource.open(options.withSeed(2).withCacheDir(folder.resolve("d")))) {
      assertEquals(fingerprint, data.fingerprint(), "the same for every seed");
    }
  }

  @Test
  void explainsWrongFolders() throws IOException {
    Files.createDirectories(images.resolve("train/eel"));
    assertRefused("'eel'");
    Files.delete(images.resolve("train/eel"));
    Files.createDirectories(images.resolve("test/fox"));
    assertRefused("fox is no class");
    Files.createDirectories(folder.resolve("empty"));
    images = folder.resolve("empty");
    assertRefused("<class>");
    images = folder.resolve("missing");
    assertRefused("no folder");
    images = Files.writeString(folder.resolve("pets.tar"), "");
    assertRefused("unpack");
  }

  @Test
  void saysWhichKindsOfImagesItLeavesOut() throws IOException {
    Files.writeString(images.resolve("train/cat/x.gif"), "");
    Files.writeString(images.resolve("train/cat/.hidden.png"), "");
    Files.writeString(images.resolve("train/cat/notes.txt"), "");
    TestFiles.write(images.resolve("train/cat/.checkpoints/x.png"), new byte[0]);
    try (Dataset data = open()) {
      assertEquals(12, data.train().size());
    }
    assertTrue(said("1 .gif"), "" + notices);
  }

  /** A tree of one-pixel images under these names. */
  private Path tree(String... files) throws IOException {
    Path root = folder.resolve("tree" + trees++);
    for (int i = 0; i < files.length; i++) {
      TestFiles.write(root.resolve(files[i]), TestFiles.ppm("P6 1 1 255 ", i, 2 * i, 3 * i));
    }
    images = root;
    notices.clear();
    return root;
  }

  private int trees;

  @Test
  void splitsAreKnownByAnyUsualNameAndCase() throws IOException {
    String[][] names = {
      {"train", "test"},
      {"Train", "Test"},
      {"TRAIN", "VAL"},
      {"training", "testing"},
      {"Training", "valid"},
      {"train", "Validation"},
      {"train_set", "test_set"},
      {"train2017", "val2017"},
      {"train-images", "dev"},
      {"trainset", "testset"},
    };
    for (String[] name : names) {
      tree(
          name[0] + "/cat/0.ppm",
          name[0] + "/dog/1.ppm",
          name[0] + "/dog/2.ppm",
          name[1] + "/cat/3.ppm",
          name[1] + "/dog/4.ppm");
      try (Dataset data = open()) {
        assertEquals(List.of("cat", "dog"), data.classes(), name[0]);
        assertEquals(3, data.train().size(), name[0]);
        assertEquals(2, data.test().size(), name[1]);
      }
      assertFalse(said("kept for testing"), name[0] + ": " + notices);
    }
  }

  @Test
  void splitsAreNeverTakenForClasses() throws IOException {
    tree("train/cat.0.ppm", "train/dog.1.ppm", "test/2.ppm");
    assertRefused("holds no folder for each class");
    tree("Test/cat/0.ppm", "Test/dog/1.ppm");
    assertRefused("no folder of training images");
    tree("cat/0.ppm", "dog/1.ppm", "Test/cat/2.ppm", "Test/dog/3.ppm");
    assertRefused("not clear what is a class");
    tree("train/cat/0.ppm", "train/dog/1.ppm", "Training/cat/2.ppm", "test/cat/3.ppm");
    assertRefused("are both folders of training images");
    // Vehicles: a class called train holds images itself.
    tree("bus/0.ppm", "bus/1.ppm", "train/2.ppm", "train/3.ppm");
    try (Dataset data = open()) {
      assertEquals(List.of("bus", "train"), data.classes());
    }
    // Images without labels beside images with them.
    tree("train/a/0.ppm", "train/b/1.ppm", "test/images/2.ppm", "val/a/3.ppm", "val/b/4.ppm");
    try (Dataset data = open()) {
      assertEquals(2, data.test().size());
    }
    assertTrue(said("test holds no folders of the classes"), "" + notices);
    tree("train/a/0.ppm", "train/b/1.ppm", "test/2.ppm", "val/a/3.ppm", "val/b/4.ppm");
    try (Dataset data = open()) {
      assertEquals(2, data.test().size());
    }
    assertTrue(said("test holds no folders of the classes"), "" + notices);
  }

  @Test
  void anEvaluationTakesAllItIsGiven() throws IOException {
    String[] classes = {"a/0.ppm", "a/1.ppm", "b/2.ppm", "b/3.ppm", "b/4.ppm"};
    tree(classes);
    int undivided;
    try (Dataset data = DataSource.open(options().withWhole())) {
      undivided = data.test().size();
    }
    assertEquals(5, undivided);
    tree("test/a/0.ppm", "test/b/1.ppm", "test/b/2.ppm");
    try (Dataset data = DataSource.open(options().withWhole())) {
      assertEquals(3, data.test().size());
      assertEquals(List.of("a", "b"), data.classes());
    }
    tree("train/a/0.ppm", "train/b/1.ppm", "val/a/2.ppm");
    try (Dataset data = DataSource.open(options().withWhole())) {
      assertEquals(1, data.test().size());
    }
  }

  @Test
  void imagesAreKnownByTheirContentAndOthersAreCounted() throws IOException {
    Path cat = images.resolve("train/cat");
    byte[] jpeg = Files.readAllBytes(cat.resolve("1.jpeg"));
    byte[] png = Files.readAllBytes(cat.resolve("0.png"));
    for (String name : List.of("a.jfif", "b.jpe", "c", "d.dat", "e.JPG")) {
      Files.write(cat.resolve(name), jpeg);
    }
    Files.write(cat.resolve("f.img"), png);
    Files.write(cat.resolve("g.tga"), new byte[] {0, 0, 2, 0, 0, 0, 0, 0, 0, 0});
    Files.writeString(cat.resolve("README"), "P1 is not an image here");
    Files.writeString(cat.resolve("Thumbs.db"), "x");
    TestFiles.write(cat.resolve("@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg"), jpeg);
    TestFiles.write(images.resolve("train/@eaDir/x.jpg"), jpeg);
    TestFiles.write(images.resolve("__MACOSX/x.jpg"), jpeg);
    try (Dataset data = open()) {
      assertEquals(12 + 6, data.train().size());
      assertEquals(List.of("cat", "dog"), data.classes());
    }
    assertTrue(said("left out 1 .tga files"), "" + notices);
    assertTrue(said("left out 1 files without an ending"), "" + notices);
    assertFalse(said(".db"), "" + notices);
  }

  @Test
  void linksThatLeadNowhereAreBadImagesOrNone() throws IOException {
    Path cat = images.resolve("train/cat");
    Files.createSymbolicLink(cat.resolve(".#notes.txt"), Path.of("user@host.1234:16"));
    Files.createSymbolicLink(cat.resolve("notes"), Path.of("/mnt/gone/notes"));
    try (Dataset data = open()) {
      assertEquals(12, data.train().size());
    }
    assertTrue(said("1 files without an ending"), "" + notices);
    Files.createSymbolicLink(cat.resolve("900.png"), Path.of("/mnt/gone/7.png"));
    assertRefused("900.png is a link that leads nowhere");
    Files.createSymbolicLink(cat.resolve("round"), cat);
    Files.createSymbolicLink(cat.resolve("self.png"), cat.resolve("self.png"));
    notices.clear();
    try (Dataset data = DataSource.open(options().withBadSamples(BadSamplePolicy.skipCount(2)))) {
      assertEquals(12, data.train().size());
    }
    assertTrue(said("left out 2 bad of 18 images"), "" + notices);
  }

  private void spoil(String file) throws IOException {
    Path path = images.resolve(file);
    byte[] content = Files.readAllBytes(path);
    Files.write(path, Arrays.copyOf(content, content.length * 2 / 3));
  }

  private void assertRefused(String word) {
    UserException e = assertThrows(UserException.class, this::open);
    assertTrue(e.getMessage().contains(word), e.getMessage());
  }

  private DataOptions options() {
    return TestFiles.options(images, SHAPE, cache, notices);
  }

  private Dataset open() {
    return DataSource.open(options());
  }

  private String fingerprint() {
    try (Dataset data = open()) {
      return data.fingerprint();
    }
  }

  private boolean said(String words) {
    return notices.stream().anyMatch(n -> n.contains(words));
  }

  private List<Path> cacheFiles() throws IOException {
    try (Stream<Path> list = Files.list(cache.resolve("decoded"))) {
      return list.sorted().toList();
    }
  }
}
