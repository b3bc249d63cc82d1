package io.fbnet.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Extent;
import io.fbnet.engine.backend.Launch.Family;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The committed constants against the committed profiles. */
class CostModelTest {
  private static final Path DATA = Path.of("results/h200");
  private static final long BYTES = 64_000_000;
  private final CostModel model = CostModel.load();

  @ParameterizedTest
  @ValueSource(
      strings = {
        "cifar-32-bf16-w",
        "imagenet-32-bf16-w",
        "cifar-32-bf16-theta",
        "cifar-32-tf32-w",
        "cifar-256-bf16-w"
      })
  void profiledStepsArePredictedWithinFifteenPercent(String step) {
    Profile profile = Profile.read(DATA, step);
    double predicted = profile.groups().stream().mapToDouble(group -> group.time(model)).sum();
    assertEquals(profile.microseconds(), predicted, 0.15 * profile.microseconds());
  }

  @Test
  void everyConstantHasAValue() {
    for (Constant c : Constant.values()) {
      assertTrue(model.constants().get(c) > 0, c.name());
    }
  }

  private static Launch pass(String kernel, int blocks, long bytes) {
    Extent grid = new Extent(blocks, 1, 1);
    Extent block = new Extent(256, 1, 1);
    return new Launch(
        Family.MIX, kernel, grid, block, List.of(), bytes, bytes, bytes, 0, /* rounds= */ 3);
  }

  @Test
  void aKernelOfTheProfilesHasOneTimeAndANewOneARange() {
    CostModel.Range known = model.range(pass("sum_bf16", 528, BYTES));
    assertEquals(known.low(), known.high());
    CostModel.Range unknown = model.range(pass("made up", 528, BYTES));
    assertTrue(unknown.low() < known.low(), unknown + " " + known);
    assertTrue(unknown.high() >= known.high(), unknown + " " + known);
  }

  @Test
  void fewBlocksTakeLonger() {
    assertTrue(CostModel.small(pass("sum_bf16", 131, 1)));
    assertFalse(CostModel.small(pass("sum_bf16", 132, 1)));
    double all = model.time(pass("sum_bf16", 132, BYTES));
    double half = model.time(pass("sum_bf16", 66, BYTES));
    assertTrue(half > 1.9 * all && half < 2.1 * all, half + " and " + all);
  }

  @Test
  void aRowThatIsNoneIsNamedByFileAndLine(@TempDir Path folder) throws Exception {
    Path file = folder.resolve("launches-odd.tsv");
    Files.writeString(file, "count\tfamily\n3\tNO_FAMILY\n");
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> LaunchTable.read(file));
    assertTrue(refused.getMessage().contains(file + ", line 2"), refused.getMessage());
  }
}
