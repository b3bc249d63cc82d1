package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.FileVisitor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.zip.CRC32C;

/** The image files of a folder, a class a subfolder, and which of them are for testing. */
final class ImageFolderListing {
  /** Endings of the images that are read, in lower case. */
  static final Set<String> READ =
      Set.of(
          "jpg", "jpeg", "jpe", "jfif", "png", "ppm", "pgm", "pnm", "webp", "npy", "tif", "tiff");

  /** Those of them that may have any number of channels. */
  static final Set<String> ARRAYS = Set.of("npy", "tif", "tiff");

  /** What systems leave in folders of images. */
  private static final Set<String> BESIDE = Set.of("thumbs.db", "desktop.ini");

  private static final int MOST_LEVELS = 64;

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
   * Lists the training and the test folder where there are such, else the folder's own subfolders.
   *
   * @param whole what is not divided is all for testing, and a test folder does by itself
   */
  static ImageFolderListing of(Path root, boolean whole, Consumer<String> notices) {
    SplitFolders splits = SplitFolders.of(root, notices);
    boolean undivided = splits.training().equals(Optional.of(root));
    Path training = splits.training().orElse(null);
    if (training == null && !(whole && splits.testing().isPresent())) {
      throw UserException.data(
          "%s has no folder of training images; arrange them as %s/train/<class>/<image>.",
          root, root);
    }
    Path named = training == null ? splits.testing().orElseThrow() : training;
    List<String> classes = SplitFolders.subfolders(named);
    if (classes.isEmpty()) {
      throw UserException.data(
          "%s holds neither IDX nor CIFAR binary files nor a folder of images for each class;"
              + " arrange images as %s/train/<class>/<image>.",
          root, root);
    }
    ImageFolderListing listing = new ImageFolderListing(root, classes);
    for (int label = 0; training != null && label < classes.size(); label++) {
      listing.add(training.resolve(classes.get(label)), label, listing.train);
    }
    if (undivided && whole) {
      listing.test.addAll(listing.train);
      listing.train.clear();
    } else if (splits.testing().isPresent()) {
      listing.addTest(splits.testing().get(), named);
    } else {
      listing.holdOut(notices);
    }
    listing.leftOut.forEach(
        (kind, count) ->
            notices.accept(
                "left out "
                    + count
                    + (kind.isEmpty() ? " files without an ending of " : " ." + kind + " files of ")
                    + root
                    + ": only "
                    + ImageFileDecoder.KINDS
                    + " are read"));
    return listing;
  }

  List<String> classes() {
    return classes;
  }

  /**
   * Refuses photographs where a space takes neither 1 nor 3 channels.
   *
   * @throws UserException (exit code 3) that names the first
   */
  void requireChannels(ImageShape space) {
    if (space.takesPhotographs()) {
      return;
    }
    for (Entry entry : entries()) {
      String ending = ending(entry.relative);
      if (READ.contains(ending) && !ARRAYS.contains(ending)) {
        throw UserException.data(
            "%s holds images of 1 or 3 channels, such as %s, but the search space takes %d"
                + " channels; save so many as .npy arrays or as pages of a TIFF file, or choose a"
                + " space of 1 or 3.",
            root, entry.relative, space.channels());
      }
    }
  }

  /** The first of the files that may have more than eight bits without being asked. */
  Optional<Entry> firstArray() {
    return entries().stream().filter(e -> ARRAYS.contains(ending(e.relative))).findFirst();
  }

  private List<Entry> entries() {
    List<Entry> all = new ArrayList<>(train);
    all.addAll(test);
    return all;
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

  private void addTest(Path folder, Path training) {
    for (String name : SplitFolders.subfolders(folder)) {
      int label = classes.indexOf(name);
      if (label < 0) {
        throw UserException.data(
            "%s is no class that %s has; sort the test images into the same class folders.",
            folder.resolve(name), training);
      }
      add(folder.resolve(name), label, test);
    }
    test.sort(Comparator.comparingInt(Entry::label).thenComparing(Entry::relative));
  }

  private void add(Path folder, int label, List<Entry> to) {
    List<Entry> found = new ArrayList<>();
    try {
      Files.walkFileTree(
          folder, EnumSet.of(FileVisitOption.FOLLOW_LINKS), MOST_LEVELS, visitor(label, found));
    } catch (IOException e) {
      throw UserException.data("%s cannot be listed: %s.", folder, IoReason.of(e));
    }
    found.sort(Comparator.comparing(Entry::relative));
    to.addAll(found);
  }

  private FileVisitor<Path> visitor(int label, List<Entry> found) {
    return new SimpleFileVisitor<>() {
      @Override
      public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
        return SplitFolders.isHidden(folder.getFileName().toString())
            ? FileVisitResult.SKIP_SUBTREE
            : FileVisitResult.CONTINUE;
      }

      @Override
      public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
          throws IOException {
        if (attributes.isSymbolicLink()) {
          return leadsNowhere(file);
        }
        if (attributes.isRegularFile() && !isHidden(file) && isRead(file)) {
          add(file, attributes.size(), attributes.lastModifiedTime().toMillis());
        }
        return FileVisitResult.CONTINUE;
      }

      @Override
      public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
        if (Files.isSymbolicLink(file)) {
          return leadsNowhere(file);
        }
        throw e;
      }

      // To nothing, or round in a circle; decoding one that is called an image says so.
      private FileVisitResult leadsNowhere(Path file) {
        if (!isHidden(file)) {
          if (READ.contains(ending(file))) {
            add(file, 0, 0);
          } else {
            leftOut.merge(ending(file), 1, Integer::sum);
          }
        }
        return FileVisitResult.CONTINUE;
      }

      private boolean isHidden(Path file) {
        return SplitFolders.isHidden(file.getFileName().toString());
      }

      private void add(Path file, long bytes, long modifiedMillis) {
        String relative = root.relativize(file).toString().replace('\\', '/');
        found.add(new Entry(file, relative, label, bytes, modifiedMillis));
      }
    };
  }

  /** Whether a file is taken for an image: by its ending, and by its first bytes if that is odd. */
  private boolean isRead(Path file) throws IOException {
    String ending = ending(file);
    if (READ.contains(ending)) {
      return true;
    }
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(12);
    } catch (AccessDeniedException e) {
      start = new byte[0];
    }
    if (ImageFileDecoder.isImage(start)) {
      return true;
    }
    if (!BESIDE.contains(file.getFileName().toString().toLowerCase(Locale.ROOT))) {
      leftOut.merge(ending, 1, Integer::sum);
    }
    return false;
  }

  /** What follows the last point of a name, in lower case; empty without a point. */
  private static String ending(Path file) {
    return ending(file.getFileName().toString());
  }

  /** The same of a name. */
  static String ending(String name) {
    int point = name.lastIndexOf('.');
    return point < 0 ? "" : name.substring(point + 1).toLowerCase(Locale.ROOT);
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
}
