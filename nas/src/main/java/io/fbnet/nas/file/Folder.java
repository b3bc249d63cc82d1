package io.fbnet.nas.file;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What lies in a folder. */
public final class Folder {
  private Folder() {}

  /**
   * The paths of a folder's files and folders, sorted. A disk that fails in the middle is an {@link
   * IOException} like any other, which it is not for {@link Files#list}.
   */
  public static List<Path> entries(Path folder) throws IOException {
    List<Path> entries = new ArrayList<>();
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(folder)) {
      stream.forEach(entries::add);
    } catch (DirectoryIteratorException e) {
      throw e.getCause();
    }
    entries.sort(null);
    return entries;
  }
}
