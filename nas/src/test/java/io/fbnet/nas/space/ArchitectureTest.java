package io.fbnet.nas.space;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.file.Document;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ArchitectureTest {
  private static Architecture parse(String text) {
    return ArchitectureFile.parse(Document.json("a.json", text), Path.of(""));
  }

  private static String json(String extra, String... blocks) {
    return "{\"space\": \"fashion\", %s \"blocks\": [\"%s\"]}"
        .formatted(extra, String.join("\", \"", blocks));
  }

  @Test
  void publishedNetworksMatchTheirTable() {
    Architecture c = Architecture.load("FBNet-C");
    assertEquals(
        "k3_e1 | k3_e6 skip k3_e1 k3_e1 | k5_e6 k5_e3 k5_e6 k3_e6 | k5_e6 k5_e3 k5_e6 k5_e6"
            + " | k5_e6 k5_e6 k5_e6 k5_e3 | k5_e6 k5_e6 k5_e6 k5_e6 | k3_e6",
        c.blockLine());
    assertEquals(1984, c.space().head());
    assertEquals(1504, Architecture.load("fbnet-a").space().head());
    assertEquals(BlockType.parse("k5_e1_g2"), Architecture.load("fbnet-a").blocks().get(11));
    for (String name : Architecture.builtIns()) {
      assertEquals(22, Architecture.load(name).blocks().size());
    }
  }

  @Test
  void randomArchitecturesRoundTrip(@TempDir Path folder) {
    long seed = 20260701L;
    System.out.println("ArchitectureTest seed " + seed);
    Random random = new Random(seed);
    Path file = folder.resolve("a.json");
    for (int i = 0; i < 50; i++) {
      SearchSpace space =
          SearchSpace.load(
              SearchSpace.builtIns().get(random.nextInt(SearchSpace.builtIns().size())));
      if (random.nextBoolean()) {
        space = space.withHead(8 * (1 + random.nextInt(100)));
      }
      if (random.nextBoolean()) {
        space = space.withClasses(2 + random.nextInt(500));
      }
      if (random.nextBoolean()) {
        space = space.withResolution(16 + random.nextInt(100));
      }
      if (random.nextInt(4) == 0) {
        // Not square, so it cannot be written as a built-in with a resolution.
        space = space.withInput(new SearchSpace.Input(space.input().channels(), 20, 30));
      }
      if (random.nextInt(4) == 0) {
        space = space.withInput(new SearchSpace.Input(2, 20, 20));
      }
      int[] choice = random.ints(space.layerCount(), 0, space.blocks().size()).toArray();
      Architecture architecture = Architecture.of("net " + i, space, choice);
      architecture.write(file);
      Architecture read = Architecture.load(file.toString());
      assertEquals(architecture, read);
      assertArrayEquals(choice, read.choice());
    }
  }

  @Test
  void overridesReplaceTheSpace() {
    String nine = "skip\",\"skip\",\"skip\",\"skip\",\"skip\",\"skip\",\"skip\",\"skip\",\"skip";
    Architecture a = parse(json("\"head\": 8, \"classes\": 3, \"resolution\": 40,", nine));
    assertEquals(8, a.space().head());
    assertEquals(3, a.space().classes());
    assertEquals(new SearchSpace.Input(1, 40, 40), a.space().input());
    Refusals.data(() -> parse(json("\"head\": 0,", nine)), "'head'");
    Refusals.data(() -> parse(json("\"classes\": 1,", nine)), "'classes'");
    Refusals.data(() -> parse(json("\"resolution\": 9000,", nine)), "'resolution'");
    Refusals.data(() -> parse(json("\"format\": 2,", nine)), "version");
    Refusals.data(() -> parse(json("\"hed\": 2,", nine)), "'head'?");
  }

  @Test
  void wrongBlocksNamePositionAndNearest() {
    Refusals.data(() -> parse(json("", "skip", "skip")), "9 layers", "names 2");
    Refusals.data(
        () ->
            parse(json("", "skip", "skip", "k3e6", "skip", "skip", "skip", "skip", "skip", "skip")),
        "blocks[2]",
        "L3",
        "k3e6",
        "'k3_e6'?");
    Refusals.data(() -> parse("{\"space\": \"fashion\", \"blocks\": 3}"), "list");
    Refusals.data(() -> parse("{\"blocks\": []}"), "lacks", "space");
    Refusals.data(() -> parse("{\"space\": \"fasion\", \"blocks\": []}"), "'fashion'?");
    Refusals.data(() -> parse("{\"space\": 3, \"blocks\": []}"), "text");
    Refusals.data(() -> parse("[]"), "named fields");
    Refusals.data(() -> Architecture.load("fbnet-d"), "fbnet-a, fbnet-b", "did you mean");
  }

  @Test
  void aRelativeSpaceStartsAtTheArchitecturesFolder(@TempDir Path folder) throws IOException {
    Files.createDirectories(folder.resolve("spaces"));
    Files.writeString(
        folder.resolve("spaces/tiny.yaml"),
        """
        name: tiny
        input: {channels: 3, height: 8, width: 8}
        classes: 5
        stem: {width: 8, stride: 1}
        stages: [{width: 8, layers: 1, stride: 1}]
        head: 32
        blocks: [k3_e1, skip]
        always_pw: false
        """);
    Path file =
        Files.writeString(
            folder.resolve("a.json"), "{\"space\": \"spaces/tiny.yaml\", \"blocks\": [\"k3_e1\"]}");
    Architecture a = Architecture.load(file.toString());
    assertEquals("tiny", a.space().name());
    // Written again it holds its space and stands alone.
    Path copy = folder.resolve("elsewhere/b.json");
    a.write(copy);
    assertEquals(a, Architecture.load(copy.toString()));
    Files.writeString(file, "{\"space\": \"gone.yaml\", \"blocks\": [\"k3_e1\"]}");
    Refusals.data(() -> Architecture.load(file.toString()), "gone.yaml", "line 1");
  }

  @Test
  void choicesAreChecked() {
    SearchSpace space = SearchSpace.load("fashion");
    assertThrows(
        IllegalArgumentException.class, () -> Architecture.of("", space, new int[] {0, 1}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Architecture.of("", space, new int[] {9, 0, 0, 0, 0, 0, 0, 0, 0}));
    assertTrue(Architecture.of("", space, new int[9]).json().path("name").isMissingNode());
  }
}
