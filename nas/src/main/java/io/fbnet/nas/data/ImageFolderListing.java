package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/** The image files of a folder, a class a subfolder, and which of them are for testing. */
final class ImageFolderListing {
  private static final Set<String> READ = Set.of("jpg", "jpeg", "jpe", "png", "ppm", "pgm", "pnm");
  private static final Set<String> OTHER_IMAGES =
      Set.of("gif", "bmp", "tif", "tiff", "webp", "avif", "heic", "jp2", "jxl");

  /**
   * One image file.
   *
   * @param relative its path below the data set's folder, with slashes
   */
  record Entry(Path file, String relative, int label, long bytes, long modifiedMillis) {}

  private final Path root;
  private final List<String> classes;
  private final List<Entry> train = new ArrayList<>();
  private final List<Entry> test = new ArrayList<>();
  private final Map<String, Integer> leftOut = new TreeMap<>();

  private ImageFolderListing(Path root, List<String> classes) {
    this.root = root;
    this.classes = classes;
  }

  /**
   * Lists {@code train/} and {@code test/} (else {@code val/}) where the folder has them, else its
   * own subfolders.
   */
  static ImageFolderListing of(Path root, Consumer<String> notices) {
    Path train = root.resolve("train");
    boolean divided = Files.isDirectory(train) && !subfolders(train).isEmpty();
    Path training = divided ? train : root;
    List<String> classes = subfolders(training);
    if (classes.isEmpty()) {
      throw UserException.data(
          "%s holds neither IDX nor CIFAR binary files nor a folder of images for each class;"
              + " arrange images as %s/train/<class>/<image>.",
          root, root);
    }
    ImageFolderListing listing = new ImageFolderListing(root, classes);
    for (int label = 0; label < classes.size(); label++) {
      listing.add(training.resolve(classes.get(label)), label, listing.train);
    }
    Optional<Path> testing = divided ? testFolder(root, notices) : Optional.empty();
    if (testing.isPresent()) {
      listing.addTest(testing.get());
    } else {
      listing.holdOut(notices);
    }
    listing.leftOut.forEach(
        (kind, count) ->
            notices.accept(
                "left out "
                    + count
                    + " ."
                    + kind
                    + " files of "
                    + root
                    + ": only JPEG, PNG, PGM and PPM are read"));
    return listing;
  }

  List<String> classes() {
    return classes;
  }

  List<Entry> train() {
    return train;
  }

  List<Entry> test() {
    return test;
  }

  /** SHA-256 in hex of every file's path, size, time and part: changes when the folder does. */
  String digest() {
    MessageDigest digest = Sha256.digest();
    for (List<Entry> part : List.of(train, test)) {
      for (Entry entry : part) {
        String line = entry.relative + "\0" + entry.bytes + "\0" + entry.modifiedMillis + "\n";
        digest.update(line.getBytes(StandardCharsets.UTF_8));
      }
      digest.update((byte) 0);
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static Optional<Path> testFolder(Path root, Consumer<String> notices) {
    // A "test" without subfolders has no labels, as ImageNet's.
    List<Path> found =
        Stream.of("test", "val")
            .map(root::resolve)
            .filter(Files::isDirectory)
            .filter(p -> !subfolders(p).isEmpty())
            .toList();
    if (found.size() > 1) {
      notices.accept(
          "test images are taken from " + found.getFirst() + ", not from " + found.getLast());
    }
    return found.stream().findFirst();
  }

  private void addTest(Path folder) {
    for (String name : subfolders(folder)) {
      int label = classes.indexOf(name);
      if (label < 0) {
        throw UserException.data(
            "%s is no class that %s has; sort the test images into the same class folders.",
            folder.resolve(name), root.resolve("train"));
      }
      add(folder.resolve(name), label, test);
    }
    test.sort(Comparator.comparingInt(Entry::label).thenComparing(Entry::relative));
  }

  private void add(Path folder, int label, List<Entry> to) {
    List<Entry> found = new ArrayList<>();
    try (Stream<Path> walk = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
      for (Path file : (Iterable<Path>) walk::iterator) {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        if (attributes.isRegularFile() && !isHidden(folder.relativize(file)) && isRead(file)) {
          found.add(
              new Entry(
                  file,
                  root.relativize(file).toString().replace('\\', '/'),
                  label,
                  attributes.size(),
                  attributes.lastModifiedTime().toMillis()));
        }
      }
    } catch (IOException e) {
      throw UserException.data("%s cannot be listed: %s.", folder, FileContent.reason(e));
    } catch (UncheckedIOException e) {
      throw UserException.data(
          "%s cannot be listed: %s.", folder, FileContent.reason(e.getCause()));
    }
    found.sort(Comparator.comparing(Entry::relative));
    to.addAll(found);
  }

  /** Whether a file or a folder above it is hidden, as what editors and notebooks leave behind. */
  private static boolean isHidden(Path relative) {
    for (Path part : relative) {
      if (part.toString().startsWith(".")) {
        return true;
      }
    }
    return false;
  }

  private boolean isRead(Path file) {
    String name = file.getFileName().toString();
    String extension = name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
    if (OTHER_IMAGES.contains(extension)) {
      leftOut.merge(extension, 1, Integer::sum);
    }
    return READ.contains(extension);
  }

  /**
   * Keeps a tenth of each class for testing. The choice depends on the files' names alone, not on a
   * run's seed: otherwise one run would train on what another was tested with.
   */
  private void holdOut(Consumer<String> notices) {
    List<Entry> all = List.copyOf(train);
    train.clear();
    Philox philox = new Philox(0);
    Map<Integer, List<Entry>> byClass =
        all.stream()
            .collect(Collectors.groupingBy(Entry::label, TreeMap::new, Collectors.toList()));
    for (List<Entry> ofClass : byClass.values()) {
      int held = ofClass.size() < 2 ? 0 : Math.max(1, Math.round(ofClass.size() / 10f));
      Set<Entry> testing =
          ofClass.stream()
              .sorted(
                  Comparator.comparingInt((Entry e) -> draw(philox, e.relative))
                      .thenComparing(Entry::relative))
              .limit(held)
              .collect(Collectors.toSet());
      ofClass.forEach(e -> (testing.contains(e) ? test : train).add(e));
    }
    notices.accept(
        root
            + " has no test/ or val/ folder: "
            + test.size()
            + " of its "
            + all.size()
            + " images, a tenth of each class and always the same, are kept for testing");
  }

  private static int draw(Philox philox, String name) {
    CRC32C crc = new CRC32C();
    crc.update(name.getBytes(StandardCharsets.UTF_8));
    return philox.at((int) crc.getValue(), 0, 0, DrawPurpose.HOLD_OUT).w0;
  }

  private static List<String> subfolders(Path folder) {
    try (Stream<Path> list = Files.list(folder)) {
      return list.filter(Files::isDirectory)
          .map(p -> p.getFileName().toString())
          .filter(name -> !name.startsWith("."))
          .sorted()
          .toList();
    } catch (IOException e) {
      throw UserException.data("%s cannot be listed: %s.", folder, FileContent.reason(e));
    }
  }
}
