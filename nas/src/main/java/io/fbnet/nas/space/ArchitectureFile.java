package io.fbnet.nas.space;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.file.ResourceText;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Reads architecture files and the published networks among the resources. */
final class ArchitectureFile {
  /** Version of the file format; a file without one is of this version. */
  static final int FORMAT = 1;

  /** Source: arXiv 1812.03443, figure 4 and table 3. */
  static final List<String> BUILT_IN =
      List.of("fbnet-a", "fbnet-b", "fbnet-c", "fbnet-s8", "fbnet-iphonex");

  private ArchitectureFile() {}

  static Architecture load(String nameOrPath) {
    String name = nameOrPath.toLowerCase(Locale.ROOT);
    if (BUILT_IN.contains(name)) {
      String resource = name + ".json";
      String text = ResourceText.of(ArchitectureFile.class, resource);
      return parse(resource, text);
    }
    if (!SpaceFile.isFile(nameOrPath)) {
      throw UserException.data(
          "there is no architecture '%s': it is neither a file nor built in (%s)%s",
          nameOrPath,
          String.join(", ", BUILT_IN),
          Nearest.to(nameOrPath, BUILT_IN)
              .map(near -> "; did you mean '" + near + "'?")
              .orElse(""));
    }
    Path path = Path.of(nameOrPath);
    return parse(Document.json(path), path.toAbsolutePath().getParent());
  }

  static Architecture parse(String source, String json) {
    return parse(Document.json(source, json), Optional.empty());
  }

  /**
   * Reads an architecture.
   *
   * @param folder what a relative path of a space file starts from
   */
  static Architecture parse(Node node, Path folder) {
    return parse(node, Optional.of(folder));
  }

  private static Architecture parse(Node node, Optional<Path> folder) {
    Node.Fields fields =
        node.fields("format", "name", "space", "head", "classes", "resolution", "blocks");
    fields.optional("format").ifPresent(format -> format.requireVersion(FORMAT));
    SearchSpace space = space(fields.required("space"), folder);
    try {
      if (fields.optional("head").isPresent()) {
        space = space.withHead(fields.required("head").integer(1, SearchSpace.LARGEST_WIDTH));
      }
      if (fields.optional("classes").isPresent()) {
        space = space.withClasses(fields.required("classes").integer(2, SearchSpace.MOST_CLASSES));
      }
      if (fields.optional("resolution").isPresent()) {
        space =
            space.withResolution(
                fields.required("resolution").integer(1, SearchSpace.LARGEST_SIDE));
      }
    } catch (IllegalArgumentException e) {
      throw node.wrong("is no architecture: " + e.getMessage());
    }
    List<Block> blocks = blocks(fields.required("blocks"), space);
    try {
      return new Architecture(fields.optional("name").map(Node::text).orElse(""), space, blocks);
    } catch (IllegalArgumentException e) {
      throw node.wrong("is no architecture: " + e.getMessage());
    }
  }

  private static SearchSpace space(Node node, Optional<Path> folder) {
    if (node.isMapping()) {
      return SpaceFile.parse(node);
    }
    String reference = node.text();
    if (SpaceFile.BUILT_IN.contains(reference)) {
      return SpaceFile.load(reference);
    }
    if (folder.isEmpty()) {
      throw node.wrong(
          String.format(
              Locale.ROOT,
              "must be a built-in space (%s) or written out in full",
              String.join(", ", SpaceFile.BUILT_IN)));
    }
    Path path;
    try {
      path = folder.get().resolve(reference);
    } catch (InvalidPathException e) {
      throw node.wrong("is no path: " + e.getReason());
    }
    if (!SpaceFile.isFile(path.toString())) {
      throw node.wrong(
          String.format(
              Locale.ROOT,
              "names a space that is neither built in (%s) nor the file %s%s",
              String.join(", ", SpaceFile.BUILT_IN),
              path,
              Nearest.to(reference, SpaceFile.BUILT_IN)
                  .map(near -> "; did you mean '" + near + "'?")
                  .orElse("")));
    }
    return SpaceFile.load(path.toString());
  }

  private static List<Block> blocks(Node node, SearchSpace space) {
    List<Node> names = node.list(0, SearchSpace.MOST_STAGES * SearchSpace.MOST_LAYERS);
    if (names.size() != space.layerCount()) {
      throw node.wrong(
          String.format(
              Locale.ROOT,
              "must name one block for each of the %d layers of the space '%s', but names %d",
              space.layerCount(),
              space.name(),
              names.size()));
    }
    List<String> known = space.blockNames();
    List<Block> blocks = new ArrayList<>();
    for (Node item : names) {
      int index = known.indexOf(item.text());
      if (index < 0) {
        throw item.wrong(
            String.format(
                Locale.ROOT,
                "(layer L%d) is '%s', which is no block of the space '%s'%s",
                blocks.size() + 1,
                item.text(),
                space.name(),
                Nearest.hint(item.text(), known)));
      }
      blocks.add(space.blocks().get(index));
    }
    return blocks;
  }
}
