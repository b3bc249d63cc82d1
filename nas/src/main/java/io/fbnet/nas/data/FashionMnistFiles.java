package io.fbnet.nas.data;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.file.TemporaryFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Finds Fashion-MNIST's four files: on this machine first, then by fetching them into the user's
 * cache. Every file is checked by the SHA-256 of its unpacked content, because the same content is
 * distributed in several gzip forms.
 */
final class FashionMnistFiles {
  private static final Map<String, String> SHA256 =
      Map.of(
          "train-images-idx3-ubyte",
          "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
          "train-labels-idx1-ubyte",
          "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
          "t10k-images-idx3-ubyte",
          "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
          "t10k-labels-idx1-ubyte",
          "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34");

  private final Map<String, String> digests;
  private final Optional<Path> named;
  private final List<Path> folders;
  private final Path cache;
  private final List<FileFetcher> fetchers;
  private final boolean offline;
  private final Consumer<String> notices;

  /**
   * A search with injected places and ways.
   *
   * @param digests SHA-256 in hex of each file's unpacked content, by name without {@code .gz}
   * @param named the folder that the user named: it serves, or is an error
   * @param folders where else to look, in order; the cache comes after them
   */
  FashionMnistFiles(
      Map<String, String> digests,
      Optional<Path> named,
      List<Path> folders,
      Path cache,
      List<FileFetcher> fetchers,
      boolean offline,
      Consumer<String> notices) {
    this.digests = new TreeMap<>(digests);
    this.named = named;
    this.folders = List.copyOf(folders);
    this.cache = cache;
    this.fetchers = List.copyOf(fetchers);
    this.offline = offline;
    this.notices = notices;
  }

  /** The usual search of these options. */
  static FashionMnistFiles of(DataOptions options) {
    return new FashionMnistFiles(
        SHA256,
        options.dataDir(),
        List.of(Path.of("/usr/share/datasets/fashion-mnist")),
        options.cacheDir().resolve("fashion-mnist"),
        List.of(DebianPackageFetcher.fashionMnist(), HttpFetcher.fashionMnist()),
        options.offline(),
        options.notices());
  }

  /**
   * The unpacked content of every file, by name without {@code .gz}.
   *
   * @throws UserException exit code 3, naming every way tried and why it failed
   */
  Map<String, byte[]> locate() {
    SequencedMap<String, String> tried = new LinkedHashMap<>();
    if (named.isPresent()) {
      return readAll(named.get(), tried)
          .orElseThrow(
              () ->
                  UserException.data(
                      "--data-dir %s cannot serve Fashion-MNIST: %s; put its four files there, or"
                          + " leave the flag out to look elsewhere.",
                      named.get(), tried.get(named.get().toString())));
    }
    for (Path folder : Stream.concat(folders.stream(), Stream.of(cache)).toList()) {
      Optional<Map<String, byte[]>> found = readAll(folder, tried);
      if (found.isPresent()) {
        return found.get();
      }
    }
    for (FileFetcher fetcher : fetchers) {
      if (offline) {
        tried.put(fetcher.name(), "not tried, --offline");
        continue;
      }
      Optional<Map<String, byte[]>> found = fetch(fetcher, tried);
      if (found.isPresent()) {
        return found.get();
      }
    }
    StringBuilder ways = new StringBuilder();
    tried.forEach((way, why) -> ways.append("; ").append(way).append(": ").append(why));
    throw new UserException(
        ExitCode.DATA_OR_CONFIGURATION,
        "Fashion-MNIST was not found and could not be fetched"
            + ways
            + ". Put its four files into a folder named by --data-dir, install Debian's package"
            + " dataset-fashion-mnist, or take the generated images with --data shapes.");
  }

  /** All files of one folder, or empty with the reason noted. */
  private Optional<Map<String, byte[]>> readAll(Path folder, Map<String, String> tried) {
    Map<String, byte[]> all = new HashMap<>();
    List<String> missing = new ArrayList<>();
    for (Map.Entry<String, String> file : digests.entrySet()) {
      Optional<Path> place =
          Stream.of(file.getKey(), file.getKey() + ".gz")
              .map(folder::resolve)
              .filter(Files::isRegularFile)
              .findFirst();
      if (place.isEmpty()) {
        missing.add(file.getKey());
        continue;
      }
      Optional<String> wrong = read(place.get(), file.getKey(), file.getValue(), all);
      if (wrong.isPresent()) {
        if (named.isEmpty()) {
          notices.accept(wrong.get() + "; looking elsewhere");
        }
        tried.put(folder.toString(), wrong.get());
        return Optional.empty();
      }
    }
    if (missing.isEmpty()) {
      return Optional.of(all);
    }
    tried.put(
        folder.toString(),
        missing.size() == digests.size() ? "no such files" : "lacks " + String.join(", ", missing));
    return Optional.empty();
  }

  private static Optional<String> read(
      Path place, String name, String digest, Map<String, byte[]> all) {
    try {
      byte[] content = FileContent.readInflated(place);
      if (Sha256.hex(content).equals(digest)) {
        all.put(name, content);
        return Optional.empty();
      }
      return Optional.of(place + " has a wrong checksum");
    } catch (UserException e) {
      return Optional.of(e.getMessage().replaceFirst("(; fetch it again)?\\.$", ""));
    }
  }

  private Optional<Map<String, byte[]>> fetch(FileFetcher fetcher, Map<String, String> tried) {
    Optional<Path> scratch = Optional.empty();
    try {
      scratch = Optional.of(scratchFolder());
      fetcher.fetch(List.copyOf(digests.keySet()), scratch.get(), notices);
      Map<String, String> wrong = new HashMap<>();
      Optional<Map<String, byte[]>> found = readAll(scratch.get(), wrong);
      if (found.isEmpty()) {
        tried.put(fetcher.name(), "what came is not Fashion-MNIST (" + wrong.values() + ")");
      } else {
        keep(scratch.get());
      }
      return found;
    } catch (IOException e) {
      tried.put(fetcher.name(), IoReason.of(e));
      return Optional.empty();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UserException(ExitCode.INTERRUPTED, "Interrupted while fetching a data set.", e);
    } finally {
      scratch.ifPresent(TemporaryFolder::remove);
    }
  }

  /** Beside the cache, so that moving into it is atomic; elsewhere where the cache is read-only. */
  private Path scratchFolder() throws IOException {
    try {
      Files.createDirectories(cache);
      return Files.createTempDirectory(cache, "fetching");
    } catch (IOException e) {
      notices.accept("the cache " + cache + " cannot be written; what is fetched now is not kept");
      return Files.createTempDirectory("fbnet-fetching");
    }
  }

  private void keep(Path scratch) {
    if (!scratch.startsWith(cache)) {
      return;
    }
    for (String name : digests.keySet()) {
      for (String file : List.of(name, name + ".gz")) {
        Path source = scratch.resolve(file);
        try {
          if (Files.isRegularFile(source)) {
            AtomicFiles.move(source, cache.resolve(file));
          }
        } catch (IOException e) {
          notices.accept(cache.resolve(file) + " could not be kept: " + IoReason.of(e));
        }
      }
    }
  }
}
