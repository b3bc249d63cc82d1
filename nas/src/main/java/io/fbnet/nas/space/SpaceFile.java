package io.fbnet.nas.space;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.file.ResourceText;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Reads and writes search spaces, as YAML files and as objects inside an architecture. */
final class SpaceFile {
  /** Version of the file format; a file without one is of this version. */
  static final int FORMAT = 1;

  static final List<String> BUILT_IN =
      List.of("fashion", "cifar", "imagenet", "cifar-se", "imagenet-se");

  private SpaceFile() {}

  static SearchSpace load(String nameOrPath) {
    if (BUILT_IN.contains(nameOrPath)) {
      String resource = nameOrPath + ".yaml";
      return parse(Document.yaml(resource, ResourceText.of(SpaceFile.class, resource)));
    }
    if (!isFile(nameOrPath)) {
      throw UserException.data(
          "there is no search space '%s': it is neither a file nor built in (%s)%s",
          nameOrPath,
          String.join(", ", BUILT_IN),
          Nearest.to(nameOrPath, BUILT_IN)
              .map(near -> "; did you mean '" + near + "'?")
              .orElse(""));
    }
    return parse(Document.yaml(Path.of(nameOrPath)));
  }

  static boolean isFile(String path) {
    try {
      return Files.isRegularFile(Path.of(path));
    } catch (InvalidPathException e) {
      return false;
    }
  }

  static SearchSpace parse(Node node) {
    Node.Fields fields =
        node.fields(
            "format",
            "name",
            "input",
            "classes",
            "stem",
            "stages",
            "head",
            "blocks",
            "always_pw",
            "skips",
            "activation");
    fields.optional("format").ifPresent(format -> format.requireVersion(FORMAT));
    Node.Fields input = fields.required("input").fields("channels", "height", "width");
    Node.Fields stem = fields.required("stem").fields("width", "stride");
    List<SearchSpace.Stage> stages = new ArrayList<>();
    for (Node item : fields.required("stages").list(1, SearchSpace.MOST_STAGES)) {
      Node.Fields stage = item.fields("width", "layers", "stride");
      stages.add(
          new SearchSpace.Stage(
              stage.required("width").integer(1, SearchSpace.LARGEST_WIDTH),
              stage.required("layers").integer(1, SearchSpace.MOST_LAYERS),
              stage.required("stride").integer(1, 2)));
    }
    try {
      return new SearchSpace(
          fields.required("name").text(),
          new SearchSpace.Input(
              input.required("channels").integer(1, 1024),
              input.required("height").integer(1, SearchSpace.LARGEST_SIDE),
              input.required("width").integer(1, SearchSpace.LARGEST_SIDE)),
          fields.required("classes").integer(2, SearchSpace.MOST_CLASSES),
          new SearchSpace.Stem(
              stem.required("width").integer(1, SearchSpace.LARGEST_WIDTH),
              stem.required("stride").integer(1, 2)),
          stages,
          fields.required("head").integer(1, SearchSpace.LARGEST_WIDTH),
          blocks(fields.required("blocks")),
          fields.optional("always_pw").map(Node::flag).orElse(true),
          fields.optional("skips").map(SpaceFile::skips).orElse(SearchSpace.SkipRule.EVERYWHERE),
          fields.optional("activation").map(Activation::parse).orElse(Activation.RELU));
    } catch (IllegalArgumentException e) {
      throw node.wrong("is no search space: " + e.getMessage());
    }
  }

  private static SearchSpace.SkipRule skips(Node node) {
    return switch (node.text()) {
      case "everywhere" -> SearchSpace.SkipRule.EVERYWHERE;
      case "not_first" -> SearchSpace.SkipRule.NOT_FIRST;
      default -> throw node.wrong("must be everywhere or not_first, but is '" + node.text() + "'");
    };
  }

  private static List<Block> blocks(Node node) {
    List<Block> blocks = new ArrayList<>();
    for (Node item : node.list(1, SearchSpace.MOST_BLOCKS)) {
      Block block;
      try {
        block = Blocks.parse(item.text());
      } catch (IllegalArgumentException e) {
        throw item.wrong("is wrong: " + e.getMessage());
      }
      if (blocks.stream().anyMatch(b -> b.name().equals(item.text()))) {
        throw item.wrong("names the block " + block.name() + " a second time");
      }
      blocks.add(block);
    }
    return blocks;
  }

  /** The space as the fields of its YAML file. */
  static ObjectNode tree(SearchSpace space) {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("name", space.name());
    tree.putObject("input")
        .put("channels", space.input().channels())
        .put("height", space.input().height())
        .put("width", space.input().width());
    tree.put("classes", space.classes());
    tree.putObject("stem").put("width", space.stem().width()).put("stride", space.stem().stride());
    ArrayNode stages = tree.putArray("stages");
    for (SearchSpace.Stage stage : space.stages()) {
      stages
          .addObject()
          .put("width", stage.width())
          .put("layers", stage.layers())
          .put("stride", stage.stride());
    }
    tree.put("head", space.head());
    ArrayNode blocks = tree.putArray("blocks");
    space.blockNames().forEach(blocks::add);
    tree.put("always_pw", space.alwaysPw());
    tree.put("skips", space.skips().name().toLowerCase(Locale.ROOT));
    if (space.activation() != Activation.RELU) {
      tree.put("activation", space.activation().toString());
    }
    return tree;
  }
}
