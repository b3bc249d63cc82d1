package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Folders of arrays of any number of channels, from the files to the batch. */
class ArrayFolderTest {
  private static final ImageShape SHAPE = new ImageShape(5, 11, 9);

  @TempDir Path folder;
  private final List<String> notices = TestFiles.notices();

  private DataOptions options(Path data, ImageShape shape) {
    return TestFiles.options(data, shape, folder.resolve("cache"), notices);
  }

  @Test
  void whatHasMoreThanEightBitsIsKeptAsFloats() throws IOException {
    for (String descr : List.of("|u1", "<u2", "<f4")) {
      Path data =
          TestArrays.folder(
              folder.resolve("d" + descr.charAt(2) + descr.charAt(1)), descr, 4, 5, 11, 9);
      try (Dataset made = DataSource.open(options(data, SHAPE));
          Dataset kept = DataSource.open(options(data, SHAPE))) {
        PixelType wanted = descr.equals("|u1") ? PixelType.U8 : PixelType.F32;
        assertEquals(SHAPE.with(wanted), made.train().shape());
        assertEquals(made.fingerprint(), kept.fingerprint());
        assertEquals(made.normalisation(), kept.normalisation());
        assertEquals(wanted, kept.normalisation().pixels());
        assertArrayEquals(
            made.test().image(3).toArray(JAVA_BYTE), kept.test().image(3).toArray(JAVA_BYTE));
        RasterImage file = read(data.resolve("train/wild/2.npy"));
        float[] numbers = new float[SHAPE.elements()];
        Normalisation.none(5).with(wanted).apply(made.train().image(6), numbers, 0);
        for (int i = 0; i < numbers.length; i++) {
          float stored = file.isDeep() ? file.numbers[i] : (file.planes[i] & 255) / 255f;
          assertEquals(stored, numbers[i], descr + " at " + i);
        }
        statistics(made);
      }
    }
  }

  private static RasterImage read(Path file) throws IOException {
    try {
      return NpyArray.read(Files.readAllBytes(file), SHAPE.with(PixelType.F32));
    } catch (BadImageException e) {
      throw new AssertionError(e);
    }
  }

  /** Mean and deviation against plain sums of all. */
  private static void statistics(Dataset data) {
    int plane = 99;
    for (int c = 0; c < 5; c++) {
      double sum = 0;
      double squares = 0;
      for (int i = 0; i < data.train().size(); i++) {
        float[] image = new float[SHAPE.elements()];
        Normalisation.none(5)
            .with(data.train().shape().pixels())
            .apply(data.train().image(i), image, 0);
        for (int p = c * plane; p < (c + 1) * plane; p++) {
          sum += image[p];
          squares += (double) image[p] * image[p];
        }
      }
      double count = (double) data.train().size() * plane;
      double mean = sum / count;
      double std = Math.sqrt(squares / count - mean * mean);
      assertEquals(mean, data.normalisation().mean().get(c), 1e-5 * Math.abs(mean));
      assertEquals(std, data.normalisation().std().get(c), 1e-4 * std);
    }
  }

  @Test
  void aChannelOfOneNumberFarFromZeroIsNotDividedByZero() throws IOException {
    double[] flat = new double[5 * 11 * 9];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = i < 99 ? 1e6 : 1e6 + i % 2;
    }
    for (String place : List.of("train/a/0", "train/b/0", "test/a/0", "test/b/0")) {
      TestFiles.write(
          folder.resolve("flat").resolve(place + ".npy"), TestArrays.npy("<f4", flat, 5, 11, 9));
    }
    try (Dataset data = DataSource.open(options(folder.resolve("flat"), SHAPE))) {
      assertEquals(1e6f, data.normalisation().mean().getFirst());
      assertEquals(1, data.normalisation().std().getFirst());
      assertEquals(0.5, data.normalisation().std().get(1), 1e-3);
    }
  }

  /** Bytes that travel as floats against bytes that travel as bytes. */
  @Test
  void floatsAreCroppedMirroredAndNormalisedAsBytesAre() throws IOException {
    Path path = TestArrays.folder(folder.resolve("same"), "|u1", 6, 5, 11, 9);
    long seed = new Random().nextLong();
    try (Dataset bytes = DataSource.open(options(path, SHAPE));
        Dataset floats = DataSource.open(options(path, SHAPE).withPixels(PixelType.F32))) {
      assertEquals(PixelType.F32, floats.train().shape().pixels());
      assertNotEquals(bytes.fingerprint(), floats.fingerprint());
      for (Augmentation how :
          List.of(
              Augmentation.none(),
              Augmentation.cropAndFlip(4),
              Augmentation.cropAndFlip(30),
              Augmentation.of(new Augmentation.Resized(0.2), true),
              new Augmentation(
                  new Augmentation.Padded(2), true, 0, Augmentation.RandAugment.NONE, 5, 0),
              Augmentation.cropAndFlip(2).withMixup(0.7))) {
        // Bytes are rounded where they are resized or mixed.
        boolean rounded = how.crop() instanceof Augmentation.Resized || how.mixup() > 0;
        boolean cut = how.cutout() > 0;
        compare(bytes, floats, how, seed, rounded ? 0.9 / 255 : cut ? 0.51 / 255 : 1e-6);
      }
    }
  }

  private static void compare(
      Dataset bytes, Dataset floats, Augmentation how, long seed, double most) {
    Normalisation chosen = bytes.normalisation();
    try (BatchLoader one = loader(bytes, chosen, how, seed);
        BatchLoader two = loader(floats, chosen.with(PixelType.F32), how, seed)) {
      for (int epoch = 0; epoch < 3; epoch++) {
        one.start(epoch, 0);
        two.start(epoch, 0);
        for (Batch a = one.next(); a != null; a = one.next()) {
          Batch b = two.next();
          assertArrayEquals(a.imageNumbers(), b.imageNumbers());
          assertTrue(a.hasWindows() && !b.hasWindows());
          for (int i = 0; i < SHAPE.elements() * 4; i++) {
            int c = i / 99 % 5;
            double std = chosen.std().get(c);
            double seen = (seen(a, i) / 255.0 - chosen.mean().get(c)) / std;
            assertEquals(
                seen,
                b.images().getAtIndex(JAVA_FLOAT, i),
                most / std + 1e-5,
                how + " seed " + seed);
          }
        }
      }
    }
  }

  private static BatchLoader loader(
      Dataset data, Normalisation chosen, Augmentation how, long seed) {
    return BatchLoader.over(data.train(), IntStream.range(0, data.train().size()).toArray())
        .batchSize(4)
        .augmentation(how)
        .normalisation(chosen)
        .random(seed, 2)
        .shuffle(true)
        .build();
  }

  /** The byte that a window shows at a place of a batch. */
  private static int seen(Batch batch, int place) {
    int image = place / SHAPE.elements();
    int x = place % 9;
    int y = place / 9 % 11;
    int[] window = batch.windows().asSlice(image * 12L, 12).toArray(JAVA_INT);
    int column = (window[2] == 1 ? 8 - x : x) + window[1];
    int row = y + window[0];
    if (column < 0 || column >= 9 || row < 0 || row >= 11) {
      return 0;
    }
    return batch.images().get(JAVA_BYTE, place - place % 99 + (row * 9L + column)) & 255;
  }

  @Test
  void arraysOfAnySizeAreBroughtToTheSpaces() throws IOException {
    Path data = TestArrays.folder(folder.resolve("large"), "<f4", 3, 5, 23, 30);
    try (Dataset opened = DataSource.open(options(data, SHAPE))) {
      float[] image = opened.train().image(0).toArray(JAVA_FLOAT);
      double sum = IntStream.range(0, image.length).mapToDouble(i -> image[i]).average().orElse(0);
      // Of numbers from -30 to 30.
      assertEquals(0, sum, 3);
    }
  }

  @Test
  void colourIsNotChangedWhereThereIsNone() throws IOException {
    Path path = TestArrays.folder(folder.resolve("none"), "<u2", 4, 5, 11, 9);
    try (Dataset data = DataSource.open(options(path, SHAPE))) {
      Augmentation jitter =
          new Augmentation(
              new Augmentation.Padded(0), false, 0.3, Augmentation.RandAugment.NONE, 0, 0);
      UserException e =
          assertThrows(
              UserException.class, () -> loader(data, data.normalisation(), jitter, 1).close());
      assertTrue(e.getMessage().contains("--jitter"), e.getMessage());
    }
  }

  @Test
  void photographsAreRefusedByNameWhereTheSpaceTakesOtherChannels() throws IOException {
    Path data = TestFiles.imageFolder(folder.resolve("photos"), 3, 1);
    UserException e =
        assertThrows(UserException.class, () -> DataSource.open(options(data, SHAPE)));
    assertTrue(e.getMessage().contains(data + " holds images of 1 or 3"), e.getMessage());
    assertTrue(e.getMessage().contains("takes 5 channels"), e.getMessage());
    assertEquals(1, DataCheck.run(options(data, SHAPE)).problems().size());
    assertTrue(Files.notExists(folder.resolve("cache")), "nothing was decoded");
  }

  @Test
  void shardsHoldArraysToo() throws IOException {
    Random random = new Random(5);
    for (String split : List.of("train", "test")) {
      TestShards shard = new TestShards();
      for (int i = 0; i < 8; i++) {
        double[] numbers = TestArrays.random(random, "<u2", SHAPE.elements(), i % 2);
        shard.add(i + ".npy", TestArrays.npy("<u2", numbers, 5, 11, 9));
        shard.add(i + ".cls", new byte[] {(byte) ('0' + i % 2)});
      }
      shard.write(folder.resolve("tars").resolve(split + "-0.tar"));
    }
    DataOptions options = options(folder.resolve("tars"), SHAPE);
    try (Dataset first = DataSource.open(options);
        Dataset again = DataSource.open(options)) {
      assertEquals(PixelType.F32, first.train().shape().pixels());
      assertEquals(first.normalisation(), again.normalisation());
      statistics(first);
      compare(first, again);
    }
    ImageShape three = new ImageShape(3, 11, 9);
    UserException e =
        assertThrows(
            UserException.class, () -> DataSource.open(options(folder.resolve("tars"), three)));
    assertTrue(e.getMessage().contains("3 channels of the space"), e.getMessage());
    assertTrue(notices.stream().noneMatch(n -> n.contains("not usable")), notices.toString());
  }

  private static void compare(Dataset first, Dataset again) {
    for (int i = 0; i < first.train().size(); i++) {
      assertArrayEquals(
          first.train().image(i).toArray(JAVA_BYTE), again.train().image(i).toArray(JAVA_BYTE));
    }
  }
}
