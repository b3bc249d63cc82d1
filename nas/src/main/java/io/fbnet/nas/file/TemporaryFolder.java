package io.fbnet.nas.file;

import io.fbnet.nas.UserException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;

/** Folders that are gone when what they were made for is done. */
public final class TemporaryFolder {
  private TemporaryFolder() {}

  /**
   * Makes a folder, works in it, and removes it.
   *
   * @param prefix of its name
   * @param work what is done with it
   * @return what the work gives
   * @throws UserException (exit code 5) if no folder can be made
   */
  public static <T> T use(String prefix, Function<Path, T> work) {
    Path folder;
    try {
      folder = Files.createTempDirectory(prefix);
    } catch (IOException e) {
      throw AtomicFile.unwritable(Path.of(System.getProperty("java.io.tmpdir")), e);
    }
    try {
      return work.apply(folder);
    } finally {
      remove(folder);
    }
  }

  /**
   * Removes a folder with all that is in it, as far as possible.
   *
   * @param folder the folder
   */
  public static void remove(Path folder) {
    try (Stream<Path> walk = Files.walk(folder)) {
      List<Path> deepestFirst = walk.sorted(Comparator.reverseOrder()).toList();
      for (Path path : deepestFirst) {
        Files.deleteIfExists(path);
      }
    } catch (IOException | UncheckedIOException e) {
      // A left-over of a few megabytes is no reason to lose what was done.
      System.getLogger(TemporaryFolder.class.getName())
          .log(System.Logger.Level.DEBUG, "could not remove " + folder, e);
    }
  }
}
