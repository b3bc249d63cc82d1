package io.fbnet.nas.space;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.file.Document;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SearchSpaceTest {
  private static final String GOOD =
      """
      name: tiny
      input: {channels: 3, height: 9, width: 8}
      classes: 5
      stem: {width: 8, stride: 2}
      stages:
        - {width: 8, layers: 1, stride: 1}
        - {width: 12, layers: 2, stride: 2}
      head: 32
      blocks: [k3_e1, k3_e1_g2, skip]
      """;

  private static SearchSpace parse(String text) {
    return SpaceFile.parse(Document.yaml("s.yaml", text));
  }

  @Test
  void builtInSpacesHaveTheirLayers() {
    SearchSpace imagenet = SearchSpace.load("imagenet");
    assertEquals(22, imagenet.layers().size());
    assertEquals(new LayerSpec(1, 1, true, 16, 24, 2, 112, 112, 56, 56), imagenet.layers().get(1));
    assertEquals(new LayerSpec(21, 6, true, 184, 352, 1, 7, 7, 7, 7), imagenet.layers().get(21));
    assertEquals(1984, imagenet.head());
    assertEquals(BlockType.FBNET, imagenet.blocks());

    SearchSpace cifar = SearchSpace.load("cifar");
    assertEquals(new LayerSpec(0, 0, true, 16, 16, 1, 32, 32, 32, 32), cifar.layers().get(0));
    assertEquals(4, cifar.layers().get(21).outHeight());
    assertEquals(1504, cifar.head());

    SearchSpace fashion = SearchSpace.load("fashion");
    assertEquals(9, fashion.layerCount());
    assertEquals(new LayerSpec(7, 3, true, 40, 64, 2, 7, 7, 4, 4), fashion.layers().get(7));
    for (String name : SearchSpace.builtIns()) {
      SearchSpace space = SearchSpace.load(name);
      assertEquals(name, space.name());
      assertTrue(space.alwaysPw());
      assertEquals(space.layerCount(), space.layers().size());
    }
  }

  @Test
  void oddSizesAreRoundedUp() {
    SearchSpace space = parse(GOOD);
    assertEquals(new LayerSpec(0, 0, true, 8, 8, 1, 5, 4, 5, 4), space.layers().get(0));
    assertEquals(new LayerSpec(1, 1, true, 8, 12, 2, 5, 4, 3, 2), space.layers().get(1));
    assertTrue(space.layers().get(2).keepsShape());
    assertFalse(space.layers().get(1).keepsShape());
    assertTrue(space.alwaysPw());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "name: tiny              | name: 7               | line 1 | 'name'",
        "height: 9               | heigth: 9             | line 2 | 'height'",
        "channels: 3             | channels: 0           | line 2 | between",
        "classes: 5              | classes: 1            | line 3 | between 2",
        "classes: 5              | classes: five         | line 3 | whole number",
        "classes: 5              | clases: 5             | line 3 | 'classes'",
        "'stem: {width: 8, '     | 'stem: {width: 7, '   | s.yaml | divisible",
        "stride: 2}              | stride: 3}            | line 4 | between 1 and 2",
        "width: 12               | width: 13             | s.yaml | 13",
        "layers: 2               | layers: 2.5           | line 7 | stages[1].layers",
        "layers: 2, stride: 2    | layers: 2             | line 7 | stride",
        "head: 32                | head: -1              | line 8 | 'head'",
        "k3_e1_g2                | k3_e1                 | line 9 | second time",
        "k3_e1_g2                | k4_e1                 | line 9 | blocks[1]",
        "k3_e1_g2                | k3e1                  | line 9 | k3_e1",
        "'[k3_e1, k3_e1_g2, skip]' | '[]'                | line 9 | elements",
        "'[k3_e1, k3_e1_g2, skip]' | skip                | line 9 | list",
      })
  void wrongFilesNameLineAndKey(String from, String to, String line, String word) {
    assertTrue(GOOD.contains(from), from);
    Refusals.data(() -> parse(GOOD.replaceFirst(Pattern.quote(from), to)), line, word);
  }

  @Test
  void missingAndUnknownSpacesListTheBuiltIns(@TempDir Path folder) throws IOException {
    Refusals.data(
        () -> SearchSpace.load("imagnet"),
        "fashion, cifar, imagenet, cifar-se, imagenet-se",
        "'imagenet'?");
    Refusals.data(() -> SearchSpace.load(folder.resolve("no.yaml").toString()), "fashion");
    Refusals.data(() -> SearchSpace.load("bad\0name"), "neither");
    Refusals.data(() -> parse(GOOD.replace("head: 32\n", "")), "lacks", "head");
    Path file = Files.writeString(folder.resolve("good.yaml"), GOOD);
    assertEquals(parse(GOOD), SearchSpace.load(file.toString()));
  }

  @Test
  void activationsOfStemAndHeadAreReadAndWritten(@TempDir Path folder) {
    assertEquals(Activation.RELU, parse(GOOD).activation());
    SearchSpace space = parse(GOOD + "activation: swish\n");
    assertEquals(Activation.SWISH, space.activation());
    assertEquals(Activation.SWISH, space.withHead(16).withWidths(2).activation());
    assertNotEquals(parse(GOOD).signature(), space.signature());
    Path file = folder.resolve("written.yaml");
    space.write(file);
    assertEquals(space, SearchSpace.load(file.toString()));
    Refusals.data(
        () -> parse(GOOD + "activation: gelu\n"),
        "line 10",
        "'activation'",
        "relu, swish or hswish",
        "gelu");
  }

  @Test
  void signatureTellsWhatLatencyDependsOn() {
    SearchSpace space = SearchSpace.load("cifar");
    assertEquals(space.signature(), space.withClasses(100).withHead(8).signature());
    assertNotEquals(space.signature(), space.withResolution(64).signature());
    assertNotEquals(space.signature(), SearchSpace.load("imagenet").signature());
    assertThrows(IllegalArgumentException.class, () -> space.withClasses(0));
    assertThrows(IllegalArgumentException.class, () -> space.withResolution(-1));
  }

  @Test
  void blockNamesRoundTrip() {
    for (Block block : BlockType.FBNET) {
      assertEquals(block, BlockType.parse(block.name()));
    }
    assertEquals(new BlockType(7, 4, 8), BlockType.parse("k7_e4_g8"));
    assertEquals(
        new BlockType(5, 3, 2, true, Activation.HSWISH), BlockType.parse("k5_e3_g2_se_hswish"));
    for (Block block : SearchSpace.load("cifar-se").blocks()) {
      assertEquals(block, BlockType.parse(block.name()));
      assertEquals(!block.name().matches(".*_(se|hswish)"), ((BlockType) block).isPlain());
    }
    for (String wrong :
        List.of(
            "",
            "k3",
            "k3_e0",
            "k3_e1_g1",
            "k2_e1",
            "k13_e1",
            "k3_e17",
            "k3_e1_g99",
            "SKIP",
            "k03_e1",
            "k3_e1_relu",
            "k3_e1_hswish_se",
            "k3_e1_se_g2",
            "skip_se",
            "k3_e1 ",
            "k999999999999_e1")) {
      assertThrows(IllegalArgumentException.class, () -> BlockType.parse(wrong), wrong);
    }
  }

  /** A list of the paper's nine would hide how the parts of a name follow each other. */
  @Test
  void partsOfABlocksNameInTheWrongOrderAreToldTheOrder() {
    for (String wrong : List.of("k3_e3_hswish_se", "k5_e6_swish_hswish", "k3_e3_gelu_se")) {
      Exception e = assertThrows(IllegalArgumentException.class, () -> Blocks.parse(wrong));
      assertTrue(e.getMessage().contains("[_g<groups>][_se][_swish|_hswish]"), e.getMessage());
    }
  }
}
