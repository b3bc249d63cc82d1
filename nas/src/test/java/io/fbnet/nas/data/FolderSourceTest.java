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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
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
    Files.writeString(images.resolve("train/cat/x.webp"), "");
    Files.writeString(images.resolve("train/cat/.hidden.png"), "");
    Files.writeString(images.resolve("train/cat/notes.txt"), "");
    TestFiles.write(images.resolve("train/cat/.checkpoints/x.png"), new byte[0]);
    try (Dataset data = open()) {
      assertEquals(12, data.train().size());
    }
    assertTrue(said("1 .webp"), "" + notices);
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
