package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Augmentation.Padded;
import io.fbnet.nas.data.Augmentation.RandAugment;
import io.fbnet.nas.data.Augmentation.Resized;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the flags of augmentation come to for what images. */
class AugmentationFlagsTest {
  private static final List<String> PETS = List.of("cat", "dog");
  private static final List<String> DIGITS =
      IntStream.range(0, 10).mapToObj(Integer::toString).toList();

  private final List<String> notes = new ArrayList<>();

  private static AugmentationFlags flags(String... arguments) {
    List<String> all = new ArrayList<>(List.of(arguments));
    return StoredSearch.parse(all.toArray(String[]::new)).flags.augmentation;
  }

  /** What flags come to for images of a side of classes. */
  private Augmentation of(int side, List<String> classes, String... arguments) {
    AugmentationFlags flags = flags(arguments);
    flags.check();
    ImageShape shape = new ImageShape(1, side, side + 1);
    try (Arena arena = Arena.ofConfined();
        Dataset data = data(shape, classes, arena)) {
      flags.resolve(data, notes::add);
    }
    return flags.augmentation();
  }

  private static Dataset data(ImageShape shape, List<String> classes, Arena arena) {
    byte[] pixels = new byte[shape.elements()];
    new Random(3).nextBytes(pixels);
    MemorySegment memory = arena.allocate(pixels.length);
    memory.copyFrom(MemorySegment.ofArray(pixels));
    ImageSet set = ImageSet.of("train", shape, memory, new int[1], classes);
    return Dataset.of("photos", set, set, false, Arena.ofShared());
  }

  @Test
  void largeImagesAreCroppedAndResizedUnlessSomethingElseIsAskedFor() {
    assertEquals(Augmentation.cropAndFlip(2), of(95, PETS));
    assertEquals(Augmentation.of(new Resized(0.08), true), of(96, PETS));
    assertEquals(Augmentation.cropAndFlip(2), of(96, PETS, "--crop=padded"));
    // As a configuration of before has it.
    assertEquals(Augmentation.cropAndFlip(3), of(224, PETS, "--crop-padding=3", "--flip"));
    assertEquals(Augmentation.of(new Resized(0.08), true), of(32, PETS, "--crop", "resized"));
    assertEquals(
        Augmentation.of(new Resized(0.5), false), of(32, PETS, "--crop-area=0.5", "--no-flip"));
    assertEquals(
        new Augmentation(new Padded(2), true, 0.4, new RandAugment(2, 9.5), 8, 0),
        of(32, PETS, "--jitter=0.4", "--rand-augment=2,9.5", "--cutout=8"));
    assertEquals(List.of(), notes);
  }

  @Test
  void digitsAreNotMirroredUnlessAskedFor() {
    assertEquals(Augmentation.of(new Padded(2), false), of(28, DIGITS));
    assertEquals(1, notes.size());
    assertTrue(notes.getFirst().contains("ten digits"), notes::toString);
    assertEquals(Augmentation.cropAndFlip(2), of(28, DIGITS, "--flip"));
    assertEquals(Augmentation.of(new Padded(2), false), of(28, PETS, "--no-flip"));
    assertEquals(1, notes.size());
  }

  @Test
  void whatIsResolvedIsReadAgain(@TempDir Path folder) throws Exception {
    for (String[] given :
        new String[][] {
          {}, {"--crop=resized", "--no-flip"}, {"--jitter=0.4", "--rand-augment=2,9", "--cutout=5"}
        }) {
      AugmentationFlags flags = flags(given);
      try (Arena arena = Arena.ofConfined();
          Dataset data = data(new ImageShape(3, 9, 9), PETS, arena)) {
        flags.resolve(data, notes::add);
      }
      Path file = Files.writeString(folder.resolve("recipe.yaml"), flags.text());
      AugmentationFlags again = StoredRecipe.of(file).flags().augmentation;
      assertEquals(flags.augmentation(), again.augmentation());
      assertEquals(flags.text(), again.text());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "--crop-padding=-1",
        "--crop-padding=5000",
        "--crop-area=0",
        "--crop-area=1.5",
        "--crop-area=NaN",
        "--crop=padded --crop-area=0.5",
        "--crop=resized --crop-padding=2",
        "--crop-padding=2 --crop-area=0.5",
        "--jitter=-0.1",
        "--jitter=2",
        "--cutout=-1",
        "--rand-augment=2",
        "--rand-augment=2,9,1",
        "--rand-augment=two,9",
        "--rand-augment=2,31",
        "--rand-augment=2,NaN",
        "--rand-augment=99,9",
        "--rand-augment=",
      })
  void whatMakesNoSenseIsRefusedByName(String arguments) {
    UserException e =
        assertThrows(UserException.class, () -> flags(arguments.split(" ", -1)).check());
    assertEquals(ExitCode.USAGE, e.exitCode());
    String flag = arguments.replaceFirst("=.*", "");
    assertTrue(e.getMessage().contains(flag), e::getMessage);
  }
}
