package io.fbnet.nas.space;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
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
 */
public record SearchSpace(
    String name,
    Input input,
    int classes,
    Stem stem,
    List<Stage> stages,
    int head,
    List<BlockType> blocks,
    boolean alwaysPw) {

  static final int LARGEST_SIDE = 4096;
  static final int LARGEST_WIDTH = 16384;
  static final int MOST_CLASSES = 100_000;
  static final int MOST_STAGES = 64;
  static final int MOST_LAYERS = 64;
  static final int MOST_BLOCKS = 64;

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
   * Checks what no single number shows; throws IllegalArgumentException with a sentence to show.
   */
  public SearchSpace {
    stages = List.copyOf(stages);
    blocks = List.copyOf(blocks);
    if (stages.isEmpty() || blocks.isEmpty()) {
      throw new IllegalArgumentException("a space needs at least one stage and one block");
    }
    if (new HashSet<>(blocks).size() != blocks.size()) {
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
    for (BlockType block : blocks) {
      int width = block.groups() > 1 ? firstIndivisible(block.groups(), stem, stages) : 0;
      if (width != 0) {
        throw new IllegalArgumentException(
            "the width " + width + " is not divisible by the groups of the block " + block);
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
   * The built-in space of this name, or the space in the YAML file at this path.
   *
   * @throws io.fbnet.nas.UserException (exit code 3) if there is neither, or the file is wrong
   */
  public static SearchSpace load(String nameOrPath) {
    return SpaceFile.load(nameOrPath);
  }

  /** The names of the spaces that come with the program. */
  public static List<String> builtIns() {
    return SpaceFile.BUILT_IN;
  }

  /** The searchable layers from input to output. */
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

  /** How many layers are searchable. */
  public int layerCount() {
    return stages.stream().mapToInt(Stage::layers).sum();
  }

  /** Rows that the stem gives. */
  public int stemHeight() {
    return ceilDiv(input.height(), stem.stride());
  }

  /** Columns that the stem gives. */
  public int stemWidth() {
    return ceilDiv(input.width(), stem.stride());
  }

  static int ceilDiv(int size, int stride) {
    return Math.ceilDiv(size, stride);
  }

  /** Where the block of this name stands among the candidates. */
  public Optional<Integer> blockIndex(BlockType block) {
    int index = blocks.indexOf(block);
    return index < 0 ? Optional.empty() : Optional.of(index);
  }

  /** The candidates' names, in order. */
  public List<String> blockNames() {
    return blocks.stream().map(BlockType::name).toList();
  }

  /**
   * Everything that the latencies of the searchable layers depend on, as one readable text. Classes
   * and head are left out: they change only what a table calls fixed.
   */
  public String signature() {
    return "input %dx%dx%d; stem %d/%d; stages %s; blocks %s; always_pw %s"
        .formatted(
            input.channels(),
            input.height(),
            input.width(),
            stem.width(),
            stem.stride(),
            stages.stream()
                .map(s -> s.width() + "x" + s.layers() + "/" + s.stride())
                .collect(Collectors.joining(",")),
            String.join(",", blockNames()),
            alwaysPw);
  }

  /** This space with another number of classes. */
  public SearchSpace withClasses(int count) {
    return new SearchSpace(name, input, count, stem, stages, head, blocks, alwaysPw);
  }

  /** This space with another head width. */
  public SearchSpace withHead(int width) {
    return new SearchSpace(name, input, classes, stem, stages, width, blocks, alwaysPw);
  }

  /** This space for images of another shape. */
  public SearchSpace withInput(Input shape) {
    return new SearchSpace(name, shape, classes, stem, stages, head, blocks, alwaysPw);
  }

  /** This space for square images of this many pixels a side. */
  public SearchSpace withResolution(int side) {
    return withInput(new Input(input.channels(), side, side));
  }
}
