package io.fbnet.nas.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Removes a temporary folder with all that is in it, as far as possible. */
final class FolderRemoval {
  private FolderRemoval() {}

  static void remove(Path folder) {
    try (Stream<Path> walk = Files.walk(folder)) {
      List<Path> deepestFirst = walk.sorted(Comparator.reverseOrder()).toList();
      for (Path path : deepestFirst) {
        Files.deleteIfExists(path);
      }
    } catch (IOException | UncheckedIOException e) {
      // A left-over of a few megabytes is no reason to stop a run that has its data.
      System.getLogger(FolderRemoval.class.getName())
          .log(System.Logger.Level.DEBUG, "could not remove " + folder, e);
    }
  }
}
