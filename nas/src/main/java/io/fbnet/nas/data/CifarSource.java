package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.IoReason;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.ObjIntConsumer;
import java.util.stream.IntStream;

/**
 * The binary version of CIFAR-10 (a record is the label and 3 x 32 x 32 bytes) or CIFAR-100 (coarse
 * label, fine label, pixels; the fine one is used).
 */
record CifarSource(String name, Path folder, boolean hundred) implements ImageSource {
  private static final ImageShape SHAPE = new ImageShape(3, 32, 32);
  private static final List<String> TEN =
      List.of(
          "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck");

  /** A source where a folder, or its well-known subfolder, holds such files. */
  static Optional<CifarSource> at(String name, Path folder) {
    List<Path> places =
        List.of(folder, folder.resolve("cifar-10-batches-bin"), folder.resolve("cifar-100-binary"));
    for (Path place : places) {
      if (Files.isRegularFile(place.resolve("data_batch_1.bin"))
          || Files.isRegularFile(place.resolve("test_batch.bin"))) {
        return Optional.of(new CifarSource(name, place, false));
      }
      if (Files.isRegularFile(place.resolve("train.bin"))
          || Files.isRegularFile(place.resolve("test.bin"))) {
        return Optional.of(new CifarSource(name, place, true));
      }
    }
    if (Files.isRegularFile(folder.resolve("data_batch_1"))) {
      throw UserException.data(
          "%s holds CIFAR's Python version; take its binary version (cifar-10-binary.tar.gz) or"
              + " folders of PNG files.",
          folder);
    }
    return Optional.empty();
  }

  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.of(SHAPE);
  }

  // The arena lives as long as the data set, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  @Override
  public Dataset load(DataOptions options, BadSamples bad) {
    SplitBuilder.requireFit(folder.toString(), SHAPE, options.shape());
    List<String> classes = classes();
    Arena arena = Arena.ofShared();
    try {
      List<String> wanted = options.whole() ? List.of() : trainFiles();
      ImageSet train = read("train", wanted, classes, bad, arena);
      ImageSet test = read("test", testFiles(), classes, bad, arena);
      return Dataset.of(name, train, test, false, arena);
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  private int recordSize() {
    return (hundred ? 2 : 1) + SHAPE.elements();
  }

  private ImageSet read(
      String split, List<String> files, List<String> classes, BadSamples bad, Arena arena) {
    int images = 0;
    for (String file : files) {
      images += images(folder.resolve(file));
    }
    bad.expect(images);
    SplitBuilder builder = new SplitBuilder(arena, SHAPE, images);
    for (String file : files) {
      forEachImage(folder.resolve(file), classes, bad, builder::add);
    }
    return builder.build(split, classes);
  }

  /** Hands on every image with its label; those of no class are reported instead. */
  private void forEachImage(
      Path file, List<String> classes, BadSamples bad, ObjIntConsumer<byte[]> action) {
    byte[] image = new byte[SHAPE.elements()];
    byte[] content = FileContent.read(file);
    for (int i = 0; i < content.length / recordSize(); i++) {
      int pixels = (i + 1) * recordSize() - image.length;
      int label = content[pixels - 1] & 255;
      if (label < classes.size()) {
        System.arraycopy(content, pixels, image, 0, image.length);
        action.accept(image, label);
      } else {
        bad.report(
            new Problem(
                file + " image " + i,
                "has label " + label + ", beyond the last class " + (classes.size() - 1)));
      }
    }
  }

  @Override
  public void check(DataCheck check) {
    Optional<List<String>> names = check.attempt(folder.toString(), this::classes);
    if (names.isPresent()) {
      int[] train = counts(check, trainFiles(), names.get());
      int[] test = counts(check, testFiles(), names.get());
      check.count(folder.toString(), names.get(), train, test);
    }
  }

  private int[] counts(DataCheck check, List<String> files, List<String> classes) {
    int[] counts = new int[classes.size()];
    for (String name : files) {
      Path file = folder.resolve(name);
      if (check.attempt(file.toString(), () -> images(file)).isPresent()) {
        forEachImage(file, classes, check.badSamples(), (image, label) -> counts[label]++);
      }
    }
    return counts;
  }

  private List<String> trainFiles() {
    return hundred
        ? List.of("train.bin")
        : IntStream.rangeClosed(1, 5).mapToObj(i -> "data_batch_" + i + ".bin").toList();
  }

  private List<String> testFiles() {
    return List.of(hundred ? "test.bin" : "test_batch.bin");
  }

  private int images(Path file) {
    long size;
    try {
      size = Files.size(file);
    } catch (IOException e) {
      throw UserException.data(
          "%s cannot be read: %s; put it beside the other files of CIFAR's binary version.",
          file, IoReason.of(e));
    }
    if (size % recordSize() != 0 || size == 0) {
      throw UserException.data(
          "%s is truncated or corrupt: its %d bytes are no whole number of %d-byte images; fetch it"
              + " again.",
          file, size, recordSize());
    }
    return Math.toIntExact(size / recordSize());
  }

  private List<String> classes() {
    Path file = folder.resolve(hundred ? "fine_label_names.txt" : "batches.meta.txt");
    int count = hundred ? 100 : 10;
    if (!Files.isRegularFile(file)) {
      return hundred ? IntStream.range(0, count).mapToObj(i -> "class" + i).toList() : TEN;
    }
    List<String> names =
        Document.text(file).lines().map(String::strip).filter(l -> !l.isEmpty()).toList();
    if (names.size() == count) {
      return names;
    }
    throw UserException.data(
        "%s names %d classes, not %d; put the original file back or remove it.",
        file, names.size(), count);
  }
}
