package io.fbnet.nas.latency;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.space.Activation;
import io.fbnet.nas.space.Blocks;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;

/**
 * What a table remembers of the search space it was measured for: enough to tell whether it fits
 * another.
 *
 * @param name the space's name, for people
 * @param input shape of one image
 * @param classes of the classifier, part of the fixed share
 * @param stem the first convolution
 * @param widths output channels of every searchable layer
 * @param strides of every searchable layer
 * @param head channels, part of the fixed share
 * @param blocks names of the candidates in the order of the columns
 * @param alwaysPw whether the first 1x1 convolution stands at expansion 1
 * @param activation of stem and head
 */
public record SpaceKey(
    String name,
    SearchSpace.Input input,
    int classes,
    SearchSpace.Stem stem,
    List<Integer> widths,
    List<Integer> strides,
    int head,
    List<String> blocks,
    boolean alwaysPw,
    Activation activation) {
  private static final int MOST_LAYERS = 4096;
  private static final int LARGEST = 1 << 20;

  /**
   * Copies the lists.
   *
   * @throws IllegalArgumentException if widths and strides are not equally many
   */
  public SpaceKey {
    widths = List.copyOf(widths);
    strides = List.copyOf(strides);
    blocks = List.copyOf(blocks);
    if (widths.size() != strides.size()) {
      throw new IllegalArgumentException("as many widths as strides are needed");
    }
  }

  /**
   * {@return the key of a space}
   *
   * @param space the space
   */
  public static SpaceKey of(SearchSpace space) {
    return new SpaceKey(
        space.name(),
        space.input(),
        space.classes(),
        space.stem(),
        space.layers().stream().map(LayerSpec::outChannels).toList(),
        space.layers().stream().map(LayerSpec::stride).toList(),
        space.head(),
        space.blockNames(),
        space.alwaysPw(),
        space.activation());
  }

  /**
   * Reads what {@link #json} gives.
   *
   * @param node a value of a parsed file
   * @return the key
   * @throws io.fbnet.nas.UserException (exit code 3) with file and line, if it is none
   */
  public static SpaceKey parse(Node node) {
    Node.Fields fields =
        node.fields(
            "name",
            "input",
            "classes",
            "stem",
            "widths",
            "strides",
            "head",
            "blocks",
            "always_pw",
            "activation");
    Node.Fields input = fields.required("input").fields("channels", "height", "width");
    Node.Fields stem = fields.required("stem").fields("width", "stride");
    List<Integer> widths = new ArrayList<>();
    for (Node item : fields.required("widths").list(1, MOST_LAYERS)) {
      widths.add(item.integer(1, LARGEST));
    }
    List<Integer> strides = new ArrayList<>();
    for (Node item : fields.required("strides").list(widths.size(), widths.size())) {
      strides.add(item.integer(1, 2));
    }
    List<String> blocks = new ArrayList<>();
    for (Node item : fields.required("blocks").list(1, MOST_LAYERS)) {
      try {
        blocks.add(Blocks.parse(item.text()).name());
      } catch (IllegalArgumentException e) {
        throw item.wrong("is wrong: " + e.getMessage());
      }
    }
    return new SpaceKey(
        fields.required("name").text(),
        new SearchSpace.Input(
            input.required("channels").integer(1, LARGEST),
            input.required("height").integer(1, LARGEST),
            input.required("width").integer(1, LARGEST)),
        fields.required("classes").integer(1, LARGEST),
        new SearchSpace.Stem(
            stem.required("width").integer(1, LARGEST), stem.required("stride").integer(1, 2)),
        widths,
        strides,
        fields.required("head").integer(1, LARGEST),
        blocks,
        fields.optional("always_pw").map(Node::flag).orElse(true),
        fields.optional("activation").map(Activation::parse).orElse(Activation.RELU));
  }

  /** {@return the key as the {@code space} of a latency table's file} */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("name", name);
    tree.putObject("input")
        .put("channels", input.channels())
        .put("height", input.height())
        .put("width", input.width());
    tree.put("classes", classes);
    tree.putObject("stem").put("width", stem.width()).put("stride", stem.stride());
    widths.forEach(tree.putArray("widths")::add);
    strides.forEach(tree.putArray("strides")::add);
    tree.put("head", head);
    blocks.forEach(tree.putArray("blocks")::add);
    tree.put("always_pw", alwaysPw);
    if (activation != Activation.RELU) {
      tree.put("activation", activation.toString());
    }
    return tree;
  }
}
