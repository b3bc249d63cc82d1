package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataCheckTest {
  private static final ImageShape SHAPE = new ImageShape(3, 8, 8);
  @TempDir private Path folder;

  @Test
  void aGoodFolderHasNoProblemsAndLeavesNoCache() throws IOException {
    TestFiles.imageFolder(folder.resolve("pets"), 4, 2);
    DataCheck.Report report = check("pets");
    assertEquals(List.of(), report.problems());
    assertEquals(List.of(4, 4), report.trainCounts());
    assertEquals(List.of(2, 2), report.testCounts());
    assertEquals(List.of("cat", "dog"), report.classes());
    assertTrue(Files.notExists(folder.resolve("cache")));
  }

  @Test
  void namesEveryBadImageAndEmptyClassOfAFolder() throws IOException {
    Path pets = TestFiles.imageFolder(folder.resolve("pets"), 4, 2);
    Path cut = pets.resolve("train/cat/1.jpeg");
    Files.write(cut, Arrays.copyOf(Files.readAllBytes(cut), 400));
    Files.writeString(pets.resolve("train/dog/2.png"), "no image");
    Files.createDirectories(pets.resolve("train/eel"));
    assertProblems(
        check("pets"), "eel", "eel", "1.jpeg: is a truncated", "2.png: is none of JPEG, PNG");
  }

  @Test
  void namesEveryBadIdxFile() throws IOException {
    Path idx = Files.createDirectories(folder.resolve("idx"));
    Files.write(idx.resolve("train-images-idx3-ubyte"), IdxFileTest.images(3, 4, 4));
    Files.write(idx.resolve("train-labels-idx1-ubyte"), IdxFileTest.labels(0, 2, 0));
    byte[] images = IdxFileTest.images(2, 4, 4);
    Files.write(idx.resolve("t10k-images-idx3-ubyte"), Arrays.copyOf(images, images.length - 3));
    assertProblems(check("idx"), "t10k-images-idx3-ubyte: is truncated", "lacks t10k-labels");
    Files.write(idx.resolve("t10k-images-idx3-ubyte"), images);
    Files.write(idx.resolve("t10k-labels-idx1-ubyte"), IdxFileTest.labels(2, 200));
    assertProblems(
        check("idx"),
        "has no training image of class 1",
        "has no test image of class 0",
        "has no test image of class 1",
        "t10k labels image 1: has label 200");
  }

  @Test
  void namesEveryBadCifarFile() throws IOException {
    Path cifar = Files.createDirectories(folder.resolve("cifar"));
    for (int b = 1; b <= 4; b++) {
      byte[] batch = new byte[10 * 3073];
      for (int i = 0; i < 10; i++) {
        batch[i * 3073] = (byte) i;
      }
      batch[3073] = (byte) (b == 3 ? 11 : 1);
      Files.write(cifar.resolve("data_batch_" + b + ".bin"), batch);
      Files.write(cifar.resolve("test_batch.bin"), Arrays.copyOf(batch, b == 4 ? 900 : 30730));
    }
    DataCheck.Report report = check("cifar");
    List<String> texts =
        report.problems().stream()
            .map(Problem::toString)
            .filter(p -> !p.contains("test image"))
            .toList();
    assertEquals(3, texts.size(), "" + texts);
    assertTrue(texts.get(0).contains("data_batch_5.bin: cannot be read"), texts.get(0));
    assertTrue(texts.get(1).contains("test_batch.bin: is truncated"), texts.get(1));
    assertTrue(texts.get(2).contains("data_batch_3.bin image 1: has label 11"), texts.get(2));
  }

  @Test
  void generatedImagesAreAlwaysRight() {
    DataCheck.Report report = DataCheck.run(DataOptions.of("shapes", SHAPE));
    assertEquals(List.of(), report.problems());
    assertEquals(600, report.trainCounts().get(3));
  }

  @Test
  void policiesAreReadAndRefused() {
    assertEquals(BadSamplePolicy.fail(), BadSamplePolicy.parse("fail"));
    assertEquals(BadSamplePolicy.skipShare(0.01), BadSamplePolicy.parse("skip"));
    assertEquals(BadSamplePolicy.skipShare(0.025), BadSamplePolicy.parse("skip:2.5%"));
    assertEquals(BadSamplePolicy.skipCount(20), BadSamplePolicy.parse("SKIP:20"));
    for (String wrong : new String[] {"", "skip:", "skip:101%", "skip:1.5", "drop"}) {
      UserException e = assertThrows(UserException.class, () -> BadSamplePolicy.parse(wrong));
      assertEquals(ExitCode.USAGE, e.exitCode());
    }
  }

  private DataCheck.Report check(String data) {
    return DataCheck.run(
        TestFiles.options(
            folder.resolve(data), SHAPE, folder.resolve("cache"), TestFiles.notices()));
  }

  private static void assertProblems(DataCheck.Report report, String... parts) {
    List<String> texts = report.problems().stream().map(Problem::toString).toList();
    assertEquals(parts.length, texts.size(), "" + texts);
    for (int i = 0; i < parts.length; i++) {
      assertTrue(texts.get(i).contains(parts[i]), texts.get(i) + " has no " + parts[i]);
    }
  }
}
