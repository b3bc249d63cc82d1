package io.fbnet.nas.data;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Fashion-MNIST: 60,000 and 10,000 grey images of clothes, 28 x 28, found or fetched. */
record FashionMnistSource(FashionMnistFiles files) implements ImageSource {
  static final String NAME = "fashion-mnist";
  private static final ImageShape SHAPE = new ImageShape(1, 28, 28);
  private static final List<String> CLASSES =
      List.of(
          "T-shirt/top",
          "Trouser",
          "Pullover",
          "Dress",
          "Coat",
          "Sandal",
          "Shirt",
          "Sneaker",
          "Bag",
          "Ankle boot");

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.of(SHAPE);
  }

  @Override
  public Dataset load(DataOptions options, BadSamples bad) {
    // Before anything is fetched.
    SplitBuilder.requireFit(NAME, SHAPE, options.shape());
    Map<String, byte[]> content = files.locate();
    Optional<IdxSource.Pair> train = Optional.of(pair(content, "train"));
    return IdxSource.load(NAME, train, pair(content, "t10k"), CLASSES, options, bad);
  }

  @Override
  public void check(DataCheck check) {
    Optional<Map<String, byte[]>> content = check.attempt(NAME, files::locate);
    if (content.isPresent()) {
      int[] train = pair(content.get(), "train").counts(CLASSES, check.badSamples());
      int[] test = pair(content.get(), "t10k").counts(CLASSES, check.badSamples());
      check.count(NAME, CLASSES, train, test);
    }
  }

  private static IdxSource.Pair pair(Map<String, byte[]> content, String split) {
    String images = split + "-images-idx3-ubyte";
    String labels = split + "-labels-idx1-ubyte";
    return new IdxSource.Pair(
        IdxFile.parse(content.get(images), images, 3),
        images,
        IdxFile.parse(content.get(labels), labels, 1),
        labels);
  }
}
