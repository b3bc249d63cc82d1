package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** A folder of the four IDX files of MNIST and its kin, gzipped or not. */
record IdxSource(String name, Path folder) implements ImageSource {
  private static final String IMAGES = "images-idx3-ubyte";
  private static final String LABELS = "labels-idx1-ubyte";

  /** One split's files. */
  record Pair(IdxFile images, String imagesName, IdxFile labels, String labelsName) {
    Pair {
      if (images.count() != labels.count()) {
        throw UserException.data(
            "%s holds %d images and %s holds %d labels; the two files do not belong together.",
            imagesName, images.count(), labelsName, labels.count());
      }
    }

    ImageShape shape() {
      return new ImageShape(1, images.height(), images.width());
    }

    /** Images of each class; those of none are reported. */
    int[] counts(List<String> classes, BadSamples bad) {
      int[] counts = new int[classes.size()];
      for (int i = 0; i < labels.count(); i++) {
        if (accept(i, classes, bad)) {
          counts[labels.value(i)]++;
        }
      }
      return counts;
    }

    private boolean accept(int i, List<String> classes, BadSamples bad) {
      int label = labels.value(i);
      if (label >= classes.size()) {
        bad.report(
            new Problem(
                labelsName + " image " + i,
                "has label " + label + ", beyond the last class " + (classes.size() - 1)));
      }
      return label < classes.size();
    }
  }

  static boolean isAt(Path folder) {
    return find(folder, "train", IMAGES).isPresent() || find(folder, "t10k", IMAGES).isPresent();
  }

  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.of(read("t10k").shape());
  }

  @Override
  public Dataset load(DataOptions options, BadSamples bad) {
    Pair test = read("t10k");
    if (!options.whole()) {
      return load(name, Optional.of(read("train")), test, List.of(), options, bad);
    }
    // The test images may have none of the last class; the training labels say if there is one.
    Optional<Path> all = find(folder, "train", LABELS);
    IdxFile labels = all.isPresent() ? IdxFile.read(all.get(), 1) : test.labels();
    return load(name, Optional.empty(), test, numbered(labels), options, bad);
  }

  @Override
  public void check(DataCheck check) {
    Optional<Pair> train = check(check, "train");
    Optional<Pair> test = check(check, "t10k");
    if (train.isPresent() && test.isPresent()) {
      List<String> classes = numbered(train.get().labels());
      int[] trainCounts = train.get().counts(classes, check.badSamples());
      int[] testCounts = test.get().counts(classes, check.badSamples());
      check.count(folder.toString(), classes, trainCounts, testCounts);
    }
  }

  /** One split, where both its files are whole; otherwise both are complained of. */
  private Optional<Pair> check(DataCheck check, String split) {
    Optional<IdxFile> images = check(check, split, IMAGES, 3);
    Optional<IdxFile> labels = check(check, split, LABELS, 1);
    if (images.isEmpty() || labels.isEmpty()) {
      return Optional.empty();
    }
    String name = folder + " " + split;
    return check.attempt(
        name, () -> new Pair(images.get(), name + " images", labels.get(), name + " labels"));
  }

  private Optional<IdxFile> check(DataCheck check, String split, String kind, int rank) {
    Optional<Path> file = check.attempt(folder.toString(), () -> require(split, kind));
    return file.flatMap(f -> check.attempt(f.toString(), () -> IdxFile.read(f, rank)));
  }

  private Pair read(String split) {
    Path images = require(split, IMAGES);
    Path labels = require(split, LABELS);
    return new Pair(
        IdxFile.read(images, 3), images.toString(), IdxFile.read(labels, 1), labels.toString());
  }

  private Path require(String split, String kind) {
    return find(folder, split, kind)
        .orElseThrow(
            () ->
                UserException.data(
                    "%s lacks %s-%s (or %s-%s.gz); put it beside the other IDX files.",
                    folder, split, kind, split, kind));
  }

  /** The file under any of its usual names: with a dash or a point, gzipped or not. */
  private static Optional<Path> find(Path folder, String split, String kind) {
    String dash = split + "-" + kind;
    String point = split + "-" + kind.replace("-idx", ".idx");
    return Stream.of(dash, dash + ".gz", point, point + ".gz")
        .map(folder::resolve)
        .filter(Files::isRegularFile)
        .findFirst();
  }

  /**
   * Builds both splits.
   *
   * @param train empty where no training image is wanted
   * @param knownClasses class names, or empty to name the classes 0 to the training split's largest
   *     label
   */
  // The arena lives as long as the data set, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  static Dataset load(
      String name,
      Optional<Pair> train,
      Pair test,
      List<String> knownClasses,
      DataOptions options,
      BadSamples bad) {
    List<String> classes = knownClasses;
    if (train.isPresent()) {
      SplitBuilder.requireFit(train.get().imagesName(), train.get().shape(), options.shape());
      classes = classes.isEmpty() ? numbered(train.get().labels()) : classes;
      bad.expect(train.get().images().count());
    }
    SplitBuilder.requireFit(test.imagesName(), test.shape(), options.shape());
    bad.expect(test.images().count());
    Arena arena = Arena.ofShared();
    try {
      ImageSet trainSet;
      if (train.isPresent()) {
        trainSet = build("train", train.get(), classes, options.shape(), bad, arena);
        tellEmpty(trainSet, options);
      } else {
        trainSet = new SplitBuilder(arena, options.shape(), 0).build("train", classes);
      }
      ImageSet testSet = build("test", test, classes, options.shape(), bad, arena);
      return Dataset.of(name, trainSet, testSet, false, arena);
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  private static List<String> numbered(IdxFile labels) {
    int largest = IntStream.range(0, labels.count()).map(labels::value).max().orElse(-1);
    return IntStream.rangeClosed(0, largest).mapToObj(Integer::toString).toList();
  }

  private static ImageSet build(
      String split,
      Pair pair,
      List<String> classes,
      ImageShape shape,
      BadSamples bad,
      Arena arena) {
    SplitBuilder builder = new SplitBuilder(arena, shape, pair.images().count());
    byte[] image = new byte[pair.shape().elements()];
    for (int i = 0; i < pair.images().count(); i++) {
      if (pair.accept(i, classes, bad)) {
        pair.images().copy(i * image.length, image, 0, image.length);
        builder.add(image, pair.labels().value(i));
      }
    }
    return builder.build(split, classes);
  }

  private static void tellEmpty(ImageSet train, DataOptions options) {
    List<String> empty = new ArrayList<>();
    int[] counts = Counts.byClass(train);
    for (int c = 0; c < counts.length; c++) {
      if (counts[c] == 0) {
        empty.add(train.classes().get(c));
      }
    }
    if (!empty.isEmpty()) {
      options.notices().accept("no training image has label " + String.join(", ", empty));
    }
  }
}
