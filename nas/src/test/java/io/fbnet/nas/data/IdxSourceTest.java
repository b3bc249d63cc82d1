package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdxSourceTest {
  @TempDir private Path folder;
  private final List<String> notices = TestFiles.notices();

  @BeforeEach
  void writeFiles() throws IOException {
    Files.write(folder.resolve("train-images-idx3-ubyte"), IdxFileTest.images(4, 5, 6));
    Files.write(folder.resolve("train-labels-idx1-ubyte"), IdxFileTest.labels(0, 1, 3, 1));
    IdxFileTest.writeGzip(folder.resolve("t10k-images-idx3-ubyte.gz"), IdxFileTest.images(2, 5, 6));
    Files.write(folder.resolve("t10k-labels.idx1-ubyte"), IdxFileTest.labels(3, 0));
  }

  @Test
  void readsBothSplitsAndRepeatsGreyForColour() {
    try (Dataset grey = open(1, 5, 6);
        Dataset colour = open(3, 5, 6)) {
      assertEquals(4, grey.train().size());
      assertEquals(2, grey.test().size());
      assertEquals(3, grey.train().label(2));
      assertEquals(List.of("0", "1", "2", "3"), grey.classes());
      byte[] one = grey.train().image(2).toArray(JAVA_BYTE);
      byte[] three = colour.train().image(2).toArray(JAVA_BYTE);
      for (int i = 0; i < three.length; i++) {
        assertEquals((byte) ((60 + i % 30) * 7), one[i % 30]);
        assertEquals(one[i % 30], three[i]);
      }
      assertTrue(notices.stream().anyMatch(n -> n.contains("no training image has label 2")));
    }
    assertEquals(Optional.of(new ImageShape(1, 5, 6)), DataSource.naturalShape(options(3, 9, 9)));
  }

  @Test
  void refusesAnotherSizeNamingBoth() {
    UserException e = assertThrows(UserException.class, () -> open(3, 32, 32));
    assertTrue(
        e.getMessage().contains("1x5x6")
            && e.getMessage().contains("3x32x32")
            && e.getMessage().contains("--space"),
        e.getMessage());
  }

  @Test
  void aTornGzipFileIsRefusedInWords() throws IOException {
    Path file = folder.resolve("t10k-images-idx3-ubyte.gz");
    byte[] whole = Files.readAllBytes(file);
    for (int length : new int[] {2, 5, whole.length - 9}) {
      Files.write(file, Arrays.copyOf(whole, length));
      String message = Refusals.data(() -> open(1, 5, 6), file.toString(), "gzip");
      assertFalse(message.contains("null"), message);
    }
  }

  @Test
  void labelsBeyondTheLastClassFollowThePolicy() throws IOException {
    Files.write(folder.resolve("t10k-labels.idx1-ubyte"), IdxFileTest.labels(3, 9));
    UserException e = assertThrows(UserException.class, () -> open(1, 5, 6));
    assertTrue(
        e.getMessage().contains("image 1 has label 9")
            && e.getMessage().contains("--on-bad-sample"),
        e.getMessage());
    DataOptions skip = options(1, 5, 6).withBadSamples(BadSamplePolicy.parse("skip:1"));
    try (Dataset data = DataSource.open(skip)) {
      assertEquals(1, data.test().size());
    }
  }

  @Test
  void saysWhichFileIsMissingOrDoesNotBelong() throws IOException {
    Files.write(folder.resolve("t10k-labels.idx1-ubyte"), IdxFileTest.labels(3, 0, 1));
    UserException counts = assertThrows(UserException.class, () -> open(1, 5, 6));
    assertTrue(counts.getMessage().contains("do not belong together"), counts.getMessage());
    Files.delete(folder.resolve("t10k-labels.idx1-ubyte"));
    UserException missing = assertThrows(UserException.class, () -> open(1, 5, 6));
    assertTrue(missing.getMessage().contains("t10k-labels-idx1-ubyte"), missing.getMessage());
  }

  @Test
  void testImagesAloneNeedNoTrainingFiles() throws IOException {
    Files.delete(folder.resolve("train-images-idx3-ubyte"));
    Files.write(folder.resolve("t10k-labels.idx1-ubyte"), IdxFileTest.labels(2, 0));
    try (Dataset data = DataSource.open(options(1, 5, 6).withWhole())) {
      assertEquals(0, data.train().size());
      assertEquals(2, data.test().label(0));
      assertEquals(List.of("0", "1", "2", "3"), data.classes(), "as the training labels say");
    }
    Files.delete(folder.resolve("train-labels-idx1-ubyte"));
    try (Dataset data = DataSource.open(options(1, 5, 6).withWhole())) {
      assertEquals(List.of("0", "1", "2"), data.classes());
      byte[] second = data.test().image(1).toArray(JAVA_BYTE);
      assertEquals((byte) (30 * 7), second[0]);
    }
    UserException all = assertThrows(UserException.class, () -> open(1, 5, 6));
    assertTrue(all.getMessage().contains("lacks train-images"), all.getMessage());
  }

  private DataOptions options(int channels, int height, int width) {
    return TestFiles.options(
        folder, new ImageShape(channels, height, width), folder.resolve("cache"), notices);
  }

  private Dataset open(int channels, int height, int width) {
    return DataSource.open(options(channels, height, width));
  }
}
