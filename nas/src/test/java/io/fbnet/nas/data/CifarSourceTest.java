package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.UserException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CifarSourceTest {
  private static final ImageShape SHAPE = new ImageShape(3, 32, 32);
  @TempDir private Path folder;

  @Test
  void readsCifarTen() throws IOException {
    Path place = folder.resolve("cifar-10-batches-bin");
    writeTen(place);
    try (Dataset data = open()) {
      assertEquals(50, data.train().size());
      assertEquals(10, data.test().size());
      assertEquals("truck", data.classes().get(9));
      assertEquals(3, data.train().label(43));
      assertArrayEquals(pixels(4, 3), data.train().image(43).toArray(JAVA_BYTE));
      assertArrayEquals(pixels(9, 7), data.test().image(7).toArray(JAVA_BYTE));
    }
    Files.writeString(place.resolve("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    try (Dataset data = open()) {
      assertEquals("j", data.classes().get(9));
    }
  }

  @Test
  void readsTheFineLabelsOfCifarHundred() throws IOException {
    for (String name : List.of("train.bin", "test.bin")) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      for (int i = 0; i < 5; i++) {
        out.write(i);
        out.write(99 - i);
        out.writeBytes(pixels(0, i));
      }
      TestFiles.write(folder.resolve(name), out.toByteArray());
    }
    try (Dataset data = open()) {
      assertEquals(100, data.classes().size());
      assertEquals(96, data.train().label(3));
      assertArrayEquals(pixels(0, 3), data.train().image(3).toArray(JAVA_BYTE));
    }
  }

  @Test
  void testImagesAloneNeedNoTrainingFiles() throws IOException {
    for (String name : List.of("test_batch.bin", "test.bin")) {
      Path place = folder.resolve(name.replace(".bin", ""));
      byte[] ten = batch(9);
      byte[] hundred = new byte[2 * (2 + SHAPE.elements())];
      hundred[1] = 42;
      TestFiles.write(place.resolve(name), name.equals("test.bin") ? hundred : ten);
      DataOptions options =
          TestFiles.options(place, SHAPE, folder.resolve("cache"), TestFiles.notices());
      try (Dataset data = DataSource.open(options.withWhole())) {
        assertEquals(0, data.train().size());
        assertEquals(name.equals("test.bin") ? 2 : 10, data.test().size());
        assertEquals(name.equals("test.bin") ? 42 : 0, data.test().label(0));
      }
      UserException all = assertThrows(UserException.class, () -> DataSource.open(options));
      assertTrue(all.getMessage().contains("there is no such file"), all.getMessage());
    }
  }

  @Test
  void explainsWrongFiles() throws IOException {
    writeTen(folder);
    Path third = folder.resolve("data_batch_3.bin");
    byte[] whole = Files.readAllBytes(third);
    Files.write(third, Arrays.copyOf(whole, whole.length - 100));
    assertRefused("truncated");
    Files.delete(third);
    assertRefused("data_batch_3.bin cannot be read: there is no such file");
    whole[0] = 77;
    Files.write(third, whole);
    assertRefused("image 0 has label 77");
    Files.writeString(folder.resolve("batches.meta.txt"), "one\n");
    assertRefused("names 1 classes");
    Path python = Files.createDirectories(folder.resolve("python"));
    Files.writeString(python.resolve("data_batch_1"), "");
    folder = python;
    assertRefused("binary version");
  }

  @Test
  void classNamesThatAreNoTextAreRefused() throws IOException {
    writeTen(folder);
    Path names = Files.write(folder.resolve("batches.meta.txt"), new byte[] {'a', (byte) 0xff});
    Refusals.data(this::open, names.toString(), "not UTF-8");
  }

  /** Runs on a real folder of JPEG files, a class a folder, in train/ and test/. */
  @Test
  void readsTheRealImages() {
    String place = System.getenv("FBNET_CIFAR");
    String reason = "FBNET_CIFAR names no folder of CIFAR-10 images (train/<class>/*.jpg)";
    if (place == null) {
      System.out.println("CifarSourceTest.readsTheRealImages skipped: " + reason);
    }
    assumeTrue(place != null, reason);
    List<String> notices = TestFiles.notices();
    DataOptions options =
        TestFiles.options(Path.of(place), SHAPE, folder.resolve("cache"), notices);
    try (Dataset data = DataSource.open(options)) {
      assertEquals(10, data.classes().size());
      assertEquals(50_000, data.train().size());
      assertEquals(10_000, data.test().size());
      assertEquals(0.4914, data.normalisation().mean().get(0), 0.002);
      assertEquals(0.4822, data.normalisation().mean().get(1), 0.002);
      assertEquals(0.4465, data.normalisation().mean().get(2), 0.002);
    }
  }

  private void writeTen(Path place) throws IOException {
    for (int b = 0; b < 5; b++) {
      TestFiles.write(place.resolve("data_batch_" + (b + 1) + ".bin"), batch(b));
    }
    TestFiles.write(place.resolve("test_batch.bin"), batch(9));
  }

  private static byte[] batch(int number) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    IntStream.range(0, 10)
        .forEach(
            label -> {
              out.write(label);
              out.writeBytes(pixels(number, label));
            });
    return out.toByteArray();
  }

  private static byte[] pixels(int batch, int image) {
    byte[] pixels = new byte[SHAPE.elements()];
    new Random(batch * 100L + image).nextBytes(pixels);
    return pixels;
  }

  private Dataset open() {
    return DataSource.open(
        TestFiles.options(folder, SHAPE, folder.resolve("cache"), TestFiles.notices()));
  }

  private void assertRefused(String word) {
    UserException e = assertThrows(UserException.class, this::open);
    assertTrue(e.getMessage().contains(word), e.getMessage());
  }
}
