package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * The tar files of a folder and which of them are for testing: by a word of their name, such as
 * {@code train-000.tar} and {@code val-000.tar}, or by the subfolder that they lie in.
 *
 * @param folder that they are in
 * @param train sorted by name
 * @param test sorted by name
 * @param classes names of {@code classes.txt}, a line each; empty without that file
 */
record ShardListing(
    Path folder, List<Path> train, List<Path> test, Optional<List<String>> classes) {
  private static final String ENDING = ".tar";
  private static final String CLASSES = "classes.txt";

  /**
   * Whether a folder holds shards, itself or in folders of splits, and no folders of classes: tar
   * files beside those are what the images were unpacked from.
   */
  static boolean isAt(Path folder) {
    boolean classes =
        SplitFolders.subfolders(folder).stream()
            .anyMatch(
                name ->
                    !SplitFolders.isSplit(name)
                        || !SplitFolders.subfolders(folder.resolve(name)).isEmpty());
    return !classes && shards(folder).isPresent();
  }

  /**
   * Lists them.
   *
   * @param whole what is not divided is all for testing, and test shards do by themselves
   * @throws UserException (exit code 3) where there is nothing to train or to test with
   */
  static ShardListing of(Path folder, boolean whole, Consumer<String> notices) {
    List<Path> all = shards(folder).orElse(List.of());
    List<Path> train = part(folder, all, SplitFolders.TRAIN.asMatchPredicate());
    List<Path> test = part(folder, all, SplitFolders.TEST.asMatchPredicate());
    List<Path> validation = part(folder, all, SplitFolders.VALIDATION.asMatchPredicate());
    validation.removeAll(train);
    validation.removeAll(test);
    test.removeAll(train);
    if (!test.isEmpty() && !validation.isEmpty()) {
      notices.accept(
          "test images are taken from " + test.getFirst() + " on, not from shards for validation");
    } else if (test.isEmpty()) {
      test = validation;
    }
    if (train.isEmpty() && test.isEmpty()) {
      (whole ? test : train).addAll(all);
    }
    if (test.isEmpty() || train.isEmpty() && !whole) {
      throw UserException.data(
          "%s has no shards of %s images; call those train-*.tar and test-*.tar, or put them into"
              + " %s/train and %s/test.",
          folder, test.isEmpty() ? "test" : "training", folder, folder);
    }
    long others = all.stream().filter(Predicate.not(train::contains)).count() - test.size();
    if (others > 0) {
      notices.accept(
          "left out "
              + others
              + " shards of "
              + folder
              + ", which no word of their names says to be for training or for testing");
    }
    return new ShardListing(folder, List.copyOf(train), List.copyOf(test), classes(folder));
  }

  private static List<Path> part(Path folder, List<Path> all, Predicate<String> word) {
    List<Path> found = new ArrayList<>();
    for (Path shard : all) {
      for (String token : folder.relativize(shard).toString().split("[-_./]", -1)) {
        if (word.test(token)) {
          found.add(shard);
          break;
        }
      }
    }
    return found;
  }

  private static Optional<List<Path>> shards(Path folder) {
    List<Path> found = new ArrayList<>();
    try {
      for (Path entry : Folder.entries(folder)) {
        String name = entry.getFileName().toString();
        if (SplitFolders.isHidden(name)) {
          continue;
        }
        if (isShard(entry)) {
          found.add(entry);
        } else if (Files.isDirectory(entry) && SplitFolders.isSplit(name)) {
          Folder.entries(entry).stream().filter(ShardListing::isShard).forEach(found::add);
        }
      }
    } catch (IOException e) {
      throw UserException.data("%s cannot be listed: %s.", folder, IoReason.of(e));
    }
    found.sort(null);
    return found.isEmpty() ? Optional.empty() : Optional.of(found);
  }

  private static boolean isShard(Path file) {
    String name = file.getFileName().toString();
    return name.toLowerCase(Locale.ROOT).endsWith(ENDING)
        && !SplitFolders.isHidden(name)
        && Files.isRegularFile(file);
  }

  private static Optional<List<String>> classes(Path folder) {
    Path file = folder.resolve(CLASSES);
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    List<String> names;
    try {
      names = Files.readAllLines(file, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw UserException.data("%s cannot be read: %s.", file, IoReason.of(e));
    }
    for (int i = 0; i < names.size(); i++) {
      if (names.get(i).isBlank() || names.indexOf(names.get(i)) < i) {
        throw UserException.data(
            "%s, line %d: a class's name must stand there, and only once.", file, i + 1);
      }
    }
    return Optional.of(List.copyOf(names));
  }

  /** Those for testing alone. */
  ShardListing forTesting() {
    return new ShardListing(folder, List.of(), test, classes);
  }

  /** All shards, those for training first. */
  List<Path> all() {
    List<Path> all = new ArrayList<>(train);
    all.addAll(test);
    return all;
  }

  /** Bytes of each of all. */
  long[] sizes() {
    return all().stream().mapToLong(shard -> attribute(shard, Files::size)).toArray();
  }

  /** SHA-256 in hex of every shard's path, size and time, and of the classes. */
  String digest() {
    MessageDigest digest = Sha256.digest();
    digest.update((train.size() + " " + classes + "\n").getBytes(StandardCharsets.UTF_8));
    for (Path shard : all()) {
      String line =
          folder.relativize(shard)
              + "\0"
              + attribute(shard, Files::size)
              + "\0"
              + attribute(shard, Files::getLastModifiedTime)
              + "\n";
      digest.update(line.getBytes(StandardCharsets.UTF_8));
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static <T> T attribute(Path shard, Attribute<T> attribute) {
    try {
      return attribute.of(shard);
    } catch (IOException e) {
      throw UserException.data("%s cannot be read: %s.", shard, IoReason.of(e));
    }
  }

  /** What a file system knows of a file. */
  @FunctionalInterface
  private interface Attribute<T> {
    T of(Path file) throws IOException;
  }
}
