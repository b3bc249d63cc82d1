package io.fbnet.nas.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;

/** A way to fetch files that are not on this machine. */
interface FileFetcher {
  /** How messages name this way, such as {@code Debian's package dataset-fashion-mnist}. */
  String name();

  /**
   * Puts the files, gzipped or not, into a folder, or throws and leaves nothing behind.
   *
   * @param files their names without {@code .gz}
   * @param notices is told in one line what is fetched, from where and how many megabytes, before
   *     the first byte is
   * @throws IOException whose message says why this way does not work here
   */
  void fetch(List<String> files, Path into, Consumer<String> notices)
      throws IOException, InterruptedException;
}
