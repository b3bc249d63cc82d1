package io.fbnet.nas.data;

import java.lang.foreign.Arena;
import java.util.Optional;

/** Ten kinds of generated drawings, at the size and channels asked for: no file is needed. */
record ShapesSource(int trainSize, int testSize) implements ImageSource {
  static final String NAME = "shapes";

  ShapesSource() {
    this(6000, 1000);
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.empty();
  }

  // The arena lives as long as the data set, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  @Override
  public Dataset load(DataOptions options, BadSamples bad) {
    options
        .notices()
        .accept(
            "the data set 'shapes' is generated (drawn by this program from seed "
                + options.seed()
                + "): accuracies on it say nothing about photographs");
    Arena arena = Arena.ofShared();
    try {
      ImageSet train = draw("train", 0, trainSize, options, arena);
      ImageSet test = draw("test", 1, testSize, options, arena);
      return Dataset.of(NAME, train, test, true, arena);
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  @Override
  public void check(DataCheck check) {
    try (Dataset dataset = load(check.options(), check.badSamples())) {
      check.count(
          NAME, dataset.classes(), Counts.byClass(dataset.train()), Counts.byClass(dataset.test()));
    }
  }

  private static ImageSet draw(
      String split, int stream, int size, DataOptions options, Arena arena) {
    ShapeDrawing drawing = new ShapeDrawing(options.shape(), options.seed(), stream);
    SplitBuilder builder = new SplitBuilder(arena, options.shape(), size);
    for (int i = 0; i < size; i++) {
      int label = i % ShapeDrawing.KINDS.size();
      builder.add(drawing.draw(i, label), label);
    }
    return builder.build(split, ShapeDrawing.KINDS);
  }
}
