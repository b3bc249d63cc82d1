package io.fbnet.nas.space;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.JsonText;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * One network of a search space: a block for every searchable layer. Its JSON file is described in
 * {@code docs/formats.md}; {@link ArchitectureFile} reads it.
 *
 * @param name how people call it, such as FBNet-C; may be empty
 * @param space the space it was chosen from, with its own head, classes and resolution
 * @param blocks one block a layer, each a candidate of the space
 */
public record Architecture(String name, SearchSpace space, List<Block> blocks) {
  /**
   * Checks the blocks against the space.
   *
   * @throws IllegalArgumentException with a sentence to show, if they do not fit
   */
  public Architecture {
    blocks = List.copyOf(blocks);
    if (blocks.size() != space.layerCount()) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "the space '%s' has %d layers, but the architecture names %d blocks",
              space.name(),
              space.layerCount(),
              blocks.size()));
    }
    List<LayerSpec> places = space.layers();
    List<String> known = space.blockNames();
    for (int i = 0; i < blocks.size(); i++) {
      if (!space.allows(places.get(i), blocks.get(i))) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT,
                "the space '%s' allows no skip in layer L%d, the first of its stage",
                space.name(),
                i + 1));
      }
      if (!known.contains(blocks.get(i).name())) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT,
                "the block %s of layer L%d is no candidate of the space '%s'",
                blocks.get(i).name(),
                i + 1,
                space.name()));
      }
    }
  }

  /**
   * {@return the architecture that takes block {@code choice[l]} of the space's candidates in layer
   * l}
   *
   * @param name how people call it; may be empty
   * @param space the space it is chosen from
   * @param choice one index of a candidate a layer
   * @throws IllegalArgumentException if the choice is not of one candidate a layer
   */
  public static Architecture of(String name, SearchSpace space, int[] choice) {
    return new Architecture(
        name,
        space,
        Arrays.stream(choice)
            .mapToObj(
                index -> {
                  if (index < 0 || index >= space.blocks().size()) {
                    throw new IllegalArgumentException(
                        index + " is no index of the space's " + space.blocks().size() + " blocks");
                  }
                  return space.blocks().get(index);
                })
            .toList());
  }

  /**
   * {@return the published network of this name, or the one in the JSON file at this path}
   *
   * @param nameOrPath fbnet-a, fbnet-b, fbnet-c, fbnet-s8 or fbnet-iphonex in upper or lower case,
   *     or a file
   * @throws UserException (exit code 3) if there is neither, or the file is wrong
   */
  public static Architecture load(String nameOrPath) {
    return ArchitectureFile.load(nameOrPath);
  }

  /**
   * Reads JSON text as {@link #json} gives it. The space must be built in or written out, since a
   * text has no folder that the path of a file could start from.
   *
   * @param source what complaints call the text
   * @param json the text
   * @return the architecture
   * @throws UserException (exit code 3) if it is no architecture
   */
  public static Architecture parse(String source, String json) {
    return ArchitectureFile.parse(source, json);
  }

  /** {@return the names of the networks that come with the program} */
  public static List<String> builtIns() {
    return ArchitectureFile.BUILT_IN;
  }

  /** {@return for every layer the index of its block among the space's candidates} */
  public int[] choice() {
    List<String> known = space.blockNames();
    return blocks.stream().mapToInt(block -> known.indexOf(block.name())).toArray();
  }

  /** The block of every layer with the layer's place. */
  List<LayerSpec> layers() {
    return space.layers();
  }

  /**
   * {@return the JSON of this architecture} A space that is built in, but for classes, head and
   * square resolution, is named; any other is written out in full, so that the file stands alone.
   */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", ArchitectureFile.FORMAT);
    if (!name.isEmpty()) {
      tree.put("name", name);
    }
    Optional<SearchSpace> base = builtInBase();
    if (base.isPresent()) {
      tree.put("space", base.get().name());
      if (space.head() != base.get().head()) {
        tree.put("head", space.head());
      }
      if (space.classes() != base.get().classes()) {
        tree.put("classes", space.classes());
      }
      if (!space.input().equals(base.get().input())) {
        tree.put("resolution", space.input().height());
      }
    } else {
      tree.set("space", SpaceFile.tree(space));
    }
    ArrayNode list = tree.putArray("blocks");
    blocks.forEach(block -> list.add(block.name()));
    return tree;
  }

  private Optional<SearchSpace> builtInBase() {
    if (!SpaceFile.BUILT_IN.contains(space.name())) {
      return Optional.empty();
    }
    SearchSpace base = SearchSpace.load(space.name());
    SearchSpace adapted = base.withHead(space.head()).withClasses(space.classes());
    if (!space.input().equals(base.input())) {
      adapted = adapted.withResolution(space.input().height());
    }
    return adapted.equals(space) ? Optional.of(base) : Optional.empty();
  }

  /**
   * Writes the JSON file, whole or not at all.
   *
   * @param target the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 5) if it cannot be written
   */
  public void write(Path target) {
    AtomicFile.writeText(target, JsonText.of(json()));
  }

  /** {@return the blocks with a bar between stages, as the facts and papers print them} */
  public String blockLine() {
    List<String> words = new ArrayList<>();
    int stage = 0;
    for (LayerSpec layer : layers()) {
      if (layer.stage() != stage) {
        words.add("|");
        stage = layer.stage();
      }
      words.add(blocks.get(layer.index()).name());
    }
    return String.join(" ", words);
  }
}
