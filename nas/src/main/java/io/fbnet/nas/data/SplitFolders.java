package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.IoReason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Which subfolders of an image folder are its splits, by any usual name in upper or lower case, and
 * which folder holds the classes.
 *
 * @param training the folder whose subfolders are the classes; empty where there is none
 * @param testing the folder of test images, sorted into the same classes; empty where there is none
 */
record SplitFolders(Optional<Path> training, Optional<Path> testing) {
  private static final String ENDING = "([-_ ]?(set|data|images|imgs|split))?[-_ ]?\\d*";
  static final Pattern TRAIN = named("train|training|trn");
  static final Pattern TEST = named("test|testing|tst");
  static final Pattern VALIDATION = named("val|valid|validate|validation|dev|eval");

  /** What file systems and archives put beside images. */
  private static final Set<String> OTHERS =
      Set.of(
          "@eaDir",
          "#recycle",
          "@Recycle",
          "__MACOSX",
          "$RECYCLE.BIN",
          "System Volume Information",
          "lost+found");

  private static Pattern named(String names) {
    return Pattern.compile("(" + names + ")" + ENDING, Pattern.CASE_INSENSITIVE);
  }

  /**
   * Finds them.
   *
   * @throws UserException (exit code 3) where folders of splits stand beside classes, or hold no
   *     classes
   */
  static SplitFolders of(Path root, Consumer<String> notices) {
    List<Path> train = new ArrayList<>();
    List<Path> test = new ArrayList<>();
    List<Path> validation = new ArrayList<>();
    List<String> others = new ArrayList<>();
    for (String name : subfolders(root)) {
      Path folder = root.resolve(name);
      if (TRAIN.matcher(name).matches()) {
        train.add(folder);
      } else if (TEST.matcher(name).matches()) {
        test.add(folder);
      } else if (VALIDATION.matcher(name).matches()) {
        validation.add(folder);
      } else {
        others.add(name);
      }
    }
    List<Path> splits = Stream.of(train, test, validation).flatMap(List::stream).toList();
    boolean sorted = splits.stream().anyMatch(split -> !subfolders(split).isEmpty());
    if (splits.isEmpty() || !others.isEmpty() && !sorted) {
      // A class may be called train: then it holds images, and stands beside other classes.
      return new SplitFolders(Optional.of(root), Optional.empty());
    }
    if (train.size() > 1) {
      throw UserException.data(
          "%s and %s are both folders of training images; leave one of them.",
          train.get(0), train.get(1));
    }
    if (train.isEmpty() && !others.isEmpty()) {
      throw UserException.data(
          "%s holds %s beside folders such as '%s', so it is not clear what is a class; put the"
              + " classes into %s/train.",
          root, splits.getFirst().getFileName(), others.getFirst(), root);
    }
    if (!train.isEmpty() && subfolders(train.getFirst()).isEmpty()) {
      throw UserException.data(
          "%s holds no folder for each class; arrange images as %s/<class>/<image>.",
          train.getFirst(), train.getFirst());
    }
    if (!others.isEmpty()) {
      notices.accept(
          "left out " + String.join(", ", others) + " of " + root + ", which is no usual split");
    }
    List<String> classes = train.isEmpty() ? List.of() : subfolders(train.getFirst());
    return new SplitFolders(
        train.stream().findFirst(),
        testing(Stream.concat(test.stream(), validation.stream()).toList(), classes, notices));
  }

  /** The first folder whose images have labels. */
  private static Optional<Path> testing(
      List<Path> candidates, List<String> classes, Consumer<String> notices) {
    List<Path> labelled = new ArrayList<>();
    for (Path folder : candidates) {
      List<String> within = subfolders(folder);
      boolean foreign = !classes.isEmpty() && within.stream().noneMatch(classes::contains);
      if (within.isEmpty() || foreign && candidates.size() > 1) {
        notices.accept(
            folder + " holds no folders of the classes, so it has no labels and is not" + " used");
      } else {
        labelled.add(folder);
      }
    }
    if (labelled.size() > 1) {
      notices.accept(
          "test images are taken from " + labelled.getFirst() + ", not from " + labelled.get(1));
    }
    return labelled.stream().findFirst();
  }

  /** Whether a folder's name is that of a split. */
  static boolean isSplit(String name) {
    return Stream.of(TRAIN, TEST, VALIDATION).anyMatch(split -> split.matcher(name).matches());
  }

  /** The names of a folder's subfolders, sorted, without hidden ones. */
  static List<String> subfolders(Path folder) {
    try {
      return Folder.entries(folder).stream()
          .filter(Files::isDirectory)
          .map(p -> p.getFileName().toString())
          .filter(name -> !isHidden(name))
          .sorted()
          .toList();
    } catch (IOException e) {
      throw UserException.data("%s cannot be listed: %s.", folder, IoReason.of(e));
    }
  }

  /** Whether a file or folder is none of the user's: what editors, notebooks and disks leave. */
  static boolean isHidden(String name) {
    return name.startsWith(".") || OTHERS.contains(name);
  }
}
