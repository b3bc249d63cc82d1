package io.fbnet.nas.latency;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LatencyTableTest {
  private static final SearchSpace SPACE =
      new SearchSpace(
          "tiny",
          new SearchSpace.Input(3, 8, 8),
          10,
          new SearchSpace.Stem(8, 1),
          List.of(new SearchSpace.Stage(8, 1, 1), new SearchSpace.Stage(12, 1, 2)),
          16,
          List.of(BlockType.parse("k3_e1"), BlockType.parse("k5_e6"), BlockType.SKIP),
          true);

  private static LatencyTable.Builder table() {
    return LatencyTable.builder("box", SPACE)
        .fixed(1)
        .layers(new double[][] {{0.5, 2, 0}, {0.25, 4, 0.125}})
        .fixedSpread(0.01)
        .spread(new double[][] {{0.1, 0.2, 0}, {0.3, 0.1, 0.1}})
        .validated("mean error 3%")
        .fingerprint(Fingerprint.of("Ryzen", 4, Map.of("oneDNN", "3.13"), "f32", 2, "2026-07-01"));
  }

  @Test
  void sumsAreSums() {
    LatencyTable t = table().build();
    assertEquals(1 + 2 + 0.25, t.latencyOf(new int[] {1, 0}));
    assertEquals(1 + 0.5 + 4, t.latencyOf(Architecture.of("", SPACE, new int[] {0, 1})));
    assertArrayEquals(new int[] {2, 2}, t.fastest());
    double[][] oneHot = {{0, 1, 0}, {1, 0, 0}};
    assertEquals(t.latencyOf(new int[] {1, 0}), t.expected(oneHot));
    double[][] even = {{0.5, 0.5, 0}, {0, 0, 1}};
    assertEquals(1 + 1.25 + 0.125, t.expected(even));
    assertThrows(IllegalArgumentException.class, () -> t.latencyOf(new int[] {0}));
    assertThrows(IllegalArgumentException.class, () -> t.expected(new double[1][3]));
  }

  @Test
  void theTableCannotBeChangedFromOutside() {
    double[][] ms = {{0.5, 2, 0}, {0.25, 4, 0.125}};
    LatencyTable t = table().layers(ms).build();
    ms[0][0] = 99;
    t.layers()[0][0] = 99;
    t.spread().orElseThrow()[0][0] = 99;
    assertEquals(0.5, t.ms(0, 0));
    assertEquals(0.1, t.spread().orElseThrow()[0][0]);
  }

  @Test
  void filesRoundTrip(@TempDir Path folder) {
    Path file = folder.resolve("t.json");
    LatencyTable t = table().origin("measured here").build();
    t.write(file);
    LatencyTable read = LatencyTable.load(file.toString());
    assertEquals(JsonText.of(t.json()), JsonText.of(read.json()));
    assertEquals(t.fingerprint(), read.fingerprint());
    assertEquals(t.space(), read.space());
    assertEquals(file.toString(), read.source());
    assertEquals("again", read.withValidated("again").validated());
    LatencyTable bare = LatencyTable.builder("b", SPACE).layers(new double[2][3]).fixed(1).build();
    bare.write(file);
    assertEquals(JsonText.of(bare.json()), JsonText.of(LatencyTable.load(file.toString()).json()));
  }

  @Test
  void randomTablesKeepEveryBit(@TempDir Path folder) {
    long seed = 20260702L;
    System.out.println("LatencyTableTest seed " + seed);
    Random random = new Random(seed);
    SearchSpace space = SearchSpace.load("cifar");
    double[][] ms = new double[22][9];
    for (double[] row : ms) {
      for (int k = 0; k < row.length; k++) {
        row[k] = random.nextDouble() * Math.pow(10, random.nextInt(9) - 5);
      }
    }
    Path file = folder.resolve("t.json");
    LatencyTable.builder("x", space).fixed(random.nextDouble()).layers(ms).build().write(file);
    assertTrue(Arrays.deepEquals(ms, LatencyTable.load(file.toString()).layers()));
  }

  @Test
  void aTableFitsOnlyItsSpace() {
    LatencyTable t = table().build();
    List<String> warnings = new ArrayList<>();
    t.requireFits(SPACE, warnings::add);
    assertEquals(List.of(), warnings);
    t.requireFits(SPACE.withClasses(7).withHead(24), warnings::add);
    assertEquals(2, warnings.size());
    assertTrue(warnings.get(0).contains("classes 10"), warnings.get(0));
    assertTrue(warnings.get(1).contains("head width 16"), warnings.get(1));

    Refusals.data(() -> t.requireFits(SPACE.withResolution(9), w -> {}), "input 3x8x8", "3x9x9");
    Refusals.data(() -> t.requireFits(SearchSpace.load("cifar"), w -> {}), "does not fit");
    Refusals.data(() -> t.requireFits(with(SPACE.stages(), SPACE.blocks(), 10), w -> {}), "stem");
    Refusals.data(
        () ->
            t.requireFits(
                with(
                    List.of(new SearchSpace.Stage(8, 1, 1), new SearchSpace.Stage(16, 1, 2)),
                    SPACE.blocks(),
                    8),
                w -> {}),
        "width 12",
        "L2",
        "16");
    Refusals.data(
        () ->
            t.requireFits(
                with(
                    List.of(new SearchSpace.Stage(8, 1, 1), new SearchSpace.Stage(12, 1, 1)),
                    SPACE.blocks(),
                    8),
                w -> {}),
        "stride 2",
        "L2");
    Refusals.data(
        () -> t.requireFits(with(SPACE.stages(), SPACE.blocks().reversed(), 8), w -> {}),
        "blocks k3_e1, k5_e6, skip");
    SearchSpace noPw =
        new SearchSpace(
            "tiny", SPACE.input(), 10, SPACE.stem(), SPACE.stages(), 16, SPACE.blocks(), false);
    Refusals.data(() -> t.requireFits(noPw, w -> {}), "always_pw");
    Refusals.data(() -> t.latencyOf(Architecture.load("fbnet-c")), "does not fit");
  }

  private static SearchSpace with(
      List<SearchSpace.Stage> stages, List<Block> blocks, int stemWidth) {
    return new SearchSpace(
        "tiny", SPACE.input(), 10, new SearchSpace.Stem(stemWidth, 1), stages, 16, blocks, true);
  }

  @Test
  void otherConditionsWarn() {
    List<String> warnings = new ArrayList<>();
    table()
        .build()
        .warnOfDifferences(
            Fingerprint.of("Ryzen", 8, Map.of("oneDNN", "3.14", "cuDNN", "9"), "", 1, ""),
            warnings::add);
    assertEquals(3, warnings.size(), warnings.toString());
    assertTrue(warnings.get(0).contains("threads 4, here it is 8"), warnings.get(0));
    assertTrue(warnings.get(1).contains("batch 2"), warnings.get(1));
    assertTrue(warnings.get(2).contains("oneDNN 3.13"), warnings.get(2));
  }

  @Test
  void impossibleTablesAreNotBuilt() {
    assertThrows(IllegalArgumentException.class, () -> table().fixed(-1).build());
    assertThrows(IllegalArgumentException.class, () -> table().fixed(Double.NaN).build());
    assertThrows(IllegalArgumentException.class, () -> table().layers(new double[1][3]).build());
    assertThrows(IllegalArgumentException.class, () -> table().layers(new double[2][2]).build());
    assertThrows(IllegalArgumentException.class, () -> table().spread(new double[2][2]).build());
    double[][] negative = {{0.5, 2, 0}, {0.25, 4, -0.125}};
    assertThrows(IllegalArgumentException.class, () -> table().layers(negative).build());
    assertEquals(
        0.875, table().layers(negative).relative(true).build().latencyOf(new int[] {2, 2}));
    double[][] slow = {{0.5, 2, 0}, {0.25, 9e7, 0}};
    assertThrows(IllegalArgumentException.class, () -> table().layers(slow).build());
    assertThrows(IllegalArgumentException.class, () -> table().fixedSpread(1e10).build());
    assertThrows(IllegalArgumentException.class, () -> table().yardstick(0).build());
    double[][] below = {{-3, 2, 0}, {0.25, 4, 0}};
    assertThrows(
        IllegalArgumentException.class, () -> table().layers(below).relative(true).build());
  }

  @Test
  void wrongFilesAreRefused() {
    String good = JsonText.of(table().build().json());
    refused(good, "\"format\": 1", "\"format\": 2", "line 2", "version");
    refused(good, "\"unit\": \"ms\"", "\"unit\": \"us\"", "line 3", "\"ms\"");
    refused(good, "\"fixed\": 1.0", "\"fixd\": 1.0", "'fixed'?");
    refused(good, "[0.25, 4.0, 0.125]", "[0.25, 4.0]", "layers[1]", "3 elements");
    refused(good, "[0.25, 4.0, 0.125]", "[0.25, \"4\", 0.125]", "layers[1][1]", "number");
    refused(good, "[0.25, 4.0, 0.125]", "[0.25, 4.0, -0.125]", "negative");
    refused(good, "[0.25, 4.0, 0.125]", "[0.25, 1e300, 0.125]", "between");
    refused(good, "\"skip\"", "\"skp\"", "blocks[2]", "'skip'?");
    refused(good, "\"relative\": false,", "", "lacks", "relative");
    refused(good, "\"strides\": [1, 2]", "\"strides\": [1]", "strides");
    refused(good, "\"threads\": 4", "\"threads\": 0", "fingerprint.threads");
    Refusals.data(() -> LatencyTable.load("pixle3"), "'pixel3'?");
    Refusals.data(() -> LatencyTable.load("entirely wrong"), "built in");
  }

  private static void refused(String good, String from, String to, String... words) {
    assertTrue(good.contains(from), good);
    Refusals.data(
        () -> LatencyFile.parse(Document.json("t.json", good.replace(from, to)), "t.json"), words);
  }

  @Test
  void builtInTablesFitTheCifarSpace() {
    assertEquals(27, LatencyTable.builtIns().size());
    SearchSpace space = SearchSpace.load("cifar").withClasses(100);
    for (String name : LatencyTable.builtIns()) {
      LatencyTable t = LatencyTable.load(name);
      List<String> warnings = new ArrayList<>();
      t.requireFits(space, warnings::add);
      assertEquals(List.of(), warnings);
      assertTrue(t.relative());
      assertTrue(t.latencyOf(t.fastest()) >= 0);
    }
    assertTrue(LatencyTable.load("raspi4").validated().startsWith("not validated"));
    assertEquals(32, LatencyTable.load("titan_rtx_32").fingerprint().batch());
  }

  @Test
  void textShowsNoShareForTheReference() {
    String relative = LatencyTable.load("samsung_s7").text();
    assertTrue(relative.contains(" ref"), relative);
    assertTrue(relative.contains("tau 0.50"), relative);
    assertTrue(relative.contains("fastest network"), relative);
    String absolute = table().build().text();
    assertFalse(absolute.contains(" ref\n"), absolute);
    assertTrue(absolute.contains("oneDNN     3.13"), absolute);
  }
}
