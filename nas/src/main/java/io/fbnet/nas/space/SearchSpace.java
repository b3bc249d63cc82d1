package io.fbnet.nas.space;

import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.JsonText;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * A search space: a fixed outline (stem, stages, head) in which every layer of every stage may be
 * any of the candidate blocks. It is data; {@link SpaceFile} reads and writes it.
 *
 * @param name how tables and architectures call it
 * @param input shape of one image
 * @param classes labels to tell apart
 * @param stem the 3x3 convolution before the first searchable layer
 * @param stages groups of searchable layers of equal width
 * @param head channels of the 1x1 convolution before the pooling
 * @param blocks the candidates of every layer, in the order of tables and of theta
 * @param alwaysPw whether the first 1x1 convolution stands even at expansion 1, as in the paper
 * @param skips where the skip block may be chosen, if it is a candidate
 * @param activation what follows the batch norms of the stem and of the head; blocks name their own
 */
public record SearchSpace(
    String name,
    Input input,
    int classes,
    Stem stem,
    List<Stage> stages,
    int head,
    List<Block> blocks,
    boolean alwaysPw,
    SkipRule skips,
    Activation activation) {

  static final int LARGEST_SIDE = 4096;
  static final int LARGEST_WIDTH = 16384;
  static final int MOST_CLASSES = 100_000;
  static final int MOST_STAGES = 64;
  static final int MOST_LAYERS = 64;
  static final int MOST_BLOCKS = 64;

  /** Where skip may be chosen. */
  public enum SkipRule {
    /** In every layer, as in the paper. */
    EVERYWHERE,
    /** Not in the first layer of a stage, which changes the shape. */
    NOT_FIRST
  }

  /**
   * Shape of one image.
   *
   * @param channels 1 for grey, 3 for colour
   * @param height in pixels
   * @param width in pixels
   */
  public record Input(int channels, int height, int width) {}

  /**
   * The first convolution, 3x3.
   *
   * @param width output channels
   * @param stride 1 or 2
   */
  public record Stem(int width, int stride) {}

  /**
   * Searchable layers of one width.
   *
   * @param width output channels of each of its layers
   * @param layers how many
   * @param stride of the first of them; the others have stride 1
   */
  public record Stage(int width, int layers, int stride) {}

  /**
   * A space in which skip may be chosen everywhere, with ReLU in stem and head.
   *
   * @param name how tables and architectures call it
   * @param input shape of one image
   * @param classes labels to tell apart
   * @param stem the 3x3 convolution before the first searchable layer
   * @param stages groups of searchable layers of equal width
   * @param head channels of the 1x1 convolution before the pooling
   * @param blocks the candidates of every layer, in the order of tables and of theta
   * @param alwaysPw whether the first 1x1 convolution stands even at expansion 1
   * @throws IllegalArgumentException with a sentence to show, if the parts do not fit
   */
  public SearchSpace(
      String name,
      Input input,
      int classes,
      Stem stem,
      List<Stage> stages,
      int head,
      List<Block> blocks,
      boolean alwaysPw) {
    this(
        name,
        input,
        classes,
        stem,
        stages,
        head,
        blocks,
        alwaysPw,
        SkipRule.EVERYWHERE,
        Activation.RELU);
  }

  /**
   * Checks ranges, and what no single number shows.
   *
   * @throws IllegalArgumentException with a sentence to show, if the parts do not fit
   */
  public SearchSpace {
    stages = List.copyOf(stages);
    blocks = List.copyOf(blocks);
    if (stages.isEmpty() || blocks.isEmpty()) {
      throw new IllegalArgumentException("a space needs at least one stage and one block");
    }
    if (blocks.stream().map(Block::name).distinct().count() != blocks.size()) {
      throw new IllegalArgumentException("a block stands twice among the candidates");
    }
    requireRange("input.channels", input.channels(), 1, 1024);
    requireRange("input.height", input.height(), 1, LARGEST_SIDE);
    requireRange("input.width", input.width(), 1, LARGEST_SIDE);
    requireRange("classes", classes, 2, MOST_CLASSES);
    requireRange("stem.width", stem.width(), 1, LARGEST_WIDTH);
    requireRange("stem.stride", stem.stride(), 1, 2);
    requireRange("head", head, 1, LARGEST_WIDTH);
    for (Stage stage : stages) {
      requireRange("a stage's width", stage.width(), 1, LARGEST_WIDTH);
      requireRange("a stage's layers", stage.layers(), 1, MOST_LAYERS);
      requireRange("a stage's stride", stage.stride(), 1, 2);
    }
    if (skips == SkipRule.NOT_FIRST && blocks.stream().allMatch(Block::isSkip)) {
      throw new IllegalArgumentException(
          "the first layer of a stage has no candidate: skip is the only block and may not stand"
              + " there");
    }
    for (Block block : blocks) {
      if (!Blocks.isName(block.name())) {
        throw new IllegalArgumentException(
            "a block's name is letters, digits and underscores, not '" + block.name() + "'");
      }
      int width = firstIndivisible(block.divisor(), stem, stages);
      if (width != 0) {
        throw new IllegalArgumentException(
            "the width "
                + width
                + " is not divisible by "
                + block.divisor()
                + ", as the block "
                + block.name()
                + " needs");
      }
    }
  }

  private static void requireRange(String what, int value, int least, int most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          what + " must lie between " + least + " and " + most + ", but is " + value);
    }
  }

  private static int firstIndivisible(int groups, Stem stem, List<Stage> stages) {
    if (stem.width() % groups != 0) {
      return stem.width();
    }
    return stages.stream()
        .mapToInt(Stage::width)
        .filter(width -> width % groups != 0)
        .findFirst()
        .orElse(0);
  }

  /**
   * {@return the built-in space of this name, or the space in the YAML file at this path}
   *
   * @param nameOrPath one of {@link #builtIns}, or a file
   * @throws io.fbnet.nas.UserException (exit code 3) if there is neither, or the file is wrong
   */
  public static SearchSpace load(String nameOrPath) {
    return SpaceFile.load(nameOrPath);
  }

  /**
   * Writes the space as a file that {@link #load} reads.
   *
   * @param file to write
   * @throws io.fbnet.nas.UserException (exit code 5) if it cannot be written
   */
  public void write(Path file) {
    AtomicFile.writeText(file, JsonText.of(SpaceFile.tree(this)));
  }

  /** {@return the names of the spaces that come with the program} */
  public static List<String> builtIns() {
    return SpaceFile.BUILT_IN;
  }

  /** {@return the searchable layers from input to output} */
  public List<LayerSpec> layers() {
    List<LayerSpec> layers = new ArrayList<>();
    int channels = stem.width();
    int height = stemHeight();
    int width = stemWidth();
    for (int s = 0; s < stages.size(); s++) {
      Stage stage = stages.get(s);
      for (int i = 0; i < stage.layers(); i++) {
        int stride = i == 0 ? stage.stride() : 1;
        int outHeight = ceilDiv(height, stride);
        int outWidth = ceilDiv(width, stride);
        layers.add(
            new LayerSpec(
                layers.size(),
                s,
                i == 0,
                channels,
                stage.width(),
                stride,
                height,
                width,
                outHeight,
                outWidth));
        channels = stage.width();
        height = outHeight;
        width = outWidth;
      }
    }
    return List.copyOf(layers);
  }

  /** {@return how many layers are searchable} */
  public int layerCount() {
    return stages.stream().mapToInt(Stage::layers).sum();
  }

  /** {@return rows that the stem gives} */
  public int stemHeight() {
    return ceilDiv(input.height(), stem.stride());
  }

  /** {@return columns that the stem gives} */
  public int stemWidth() {
    return ceilDiv(input.width(), stem.stride());
  }

  static int ceilDiv(int size, int stride) {
    return Math.ceilDiv(size, stride);
  }

  /**
   * {@return whether the rule on skip lets a block be chosen in a layer}
   *
   * @param layer one of {@link #layers}
   * @param block one of the candidates
   */
  public boolean allows(LayerSpec layer, Block block) {
    return skips == SkipRule.EVERYWHERE || !block.isSkip() || !layer.first();
  }

  /** {@return {@link #allows} of every [layer][candidate]; a new array} */
  public boolean[][] allowed() {
    boolean[][] allowed = new boolean[layerCount()][blocks.size()];
    for (LayerSpec layer : layers()) {
      for (int k = 0; k < blocks.size(); k++) {
        allowed[layer.index()][k] = allows(layer, blocks.get(k));
      }
    }
    return allowed;
  }

  /** {@return the candidates' names, in order} */
  public List<String> blockNames() {
    return blocks.stream().map(Block::name).toList();
  }

  /**
   * {@return everything that the latencies of the searchable layers depend on, as one readable
   * text} Classes and head are left out: they change only what a table calls fixed.
   */
  public String signature() {
    return String.format(
        Locale.ROOT,
        "input %dx%dx%d; stem %d/%d%s; stages %s; blocks %s; always_pw %s",
        input.channels(),
        input.height(),
        input.width(),
        stem.width(),
        stem.stride(),
        activation == Activation.RELU ? "" : " " + activation,
        stages.stream()
            .map(s -> s.width() + "x" + s.layers() + "/" + s.stride())
            .collect(Collectors.joining(",")),
        String.join(",", blockNames()),
        alwaysPw);
  }

  /**
   * {@return this space with another number of classes}
   *
   * @param count labels to tell apart, at least 2
   * @throws IllegalArgumentException with a sentence to show, if the result is no space
   */
  public SearchSpace withClasses(int count) {
    return new SearchSpace(
        name, input, count, stem, stages, head, blocks, alwaysPw, skips, activation);
  }

  /**
   * {@return this space with another head width}
   *
   * @param width channels of the 1x1 convolution before the pooling
   * @throws IllegalArgumentException with a sentence to show, if the result is no space
   */
  public SearchSpace withHead(int width) {
    return new SearchSpace(
        name, input, classes, stem, stages, width, blocks, alwaysPw, skips, activation);
  }

  /**
   * {@return this space for images of another shape}
   *
   * @param shape of one image
   * @throws IllegalArgumentException with a sentence to show, if the result is no space
   */
  public SearchSpace withInput(Input shape) {
    return new SearchSpace(
        name, shape, classes, stem, stages, head, blocks, alwaysPw, skips, activation);
  }

  /**
   * {@return this space for square images}
   *
   * @param side pixels
   * @throws IllegalArgumentException with a sentence to show, if the result is no space
   */
  public SearchSpace withResolution(int side) {
    return withInput(new Input(input.channels(), side, side));
  }

  /**
   * {@return this space with or without the first 1x1 convolution at expansion 1}
   *
   * @param value true: with it
   */
  public SearchSpace withAlwaysPw(boolean value) {
    return new SearchSpace(
        name, input, classes, stem, stages, head, blocks, value, skips, activation);
  }

  /**
   * {@return this space with another rule on where skip may be chosen}
   *
   * @param rule the rule
   * @throws IllegalArgumentException with a sentence to show, if it leaves a layer no candidate
   */
  public SearchSpace withSkips(SkipRule rule) {
    return new SearchSpace(
        name, input, classes, stem, stages, head, blocks, alwaysPw, rule, activation);
  }

  /**
   * {@return this space with every width (stem, stages, head) times a factor, rounded to a multiple
   * of 8, by at most a tenth downwards}
   *
   * @param factor above 0; 1 keeps widths as they are, multiples of 8 or not
   * @throws IllegalArgumentException with a sentence to show, if the result is no space
   */
  public SearchSpace withWidths(double factor) {
    return new SearchSpace(
        name,
        input,
        classes,
        new Stem(scaled(stem.width(), factor), stem.stride()),
        stages.stream()
            .map(s -> new Stage(scaled(s.width(), factor), s.layers(), s.stride()))
            .toList(),
        scaled(head, factor),
        blocks,
        alwaysPw,
        skips,
        activation);
  }

  private static int scaled(int width, double factor) {
    if (factor == 1) {
      return width;
    }
    return multipleOf8(width * factor);
  }

  /**
   * {@return a number of channels that devices take well: the nearest multiple of 8, at least 8 and
   * no more than a tenth below}
   *
   * @param channels how many are wanted
   */
  public static int multipleOf8(double channels) {
    int rounded = Math.max(8, (int) Math.round(channels / 8) * 8);
    return rounded < 0.9 * channels ? rounded + 8 : rounded;
  }
}
