package io.fbnet.nas.cli;

import io.fbnet.nas.data.CacheDirectory;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What around the program may stand in its way.
 *
 * @param folders where it puts what it makes for itself
 * @param encoding of the names of files
 * @param memory bytes that the system lets the process have, if it limits them
 * @param heap bytes that Java's heap may grow to
 * @param now what the clock says
 * @param built when the program's jar was made, if that is known
 */
record Surroundings(
    List<Folder> folders,
    String encoding,
    OptionalLong memory,
    long heap,
    Instant now,
    Optional<Instant> built) {
  private static final long LEAST_FREE = 256L << 20;
  private static final long LEAST_MEMORY = 1L << 30;
  private static final Duration CLOCKS_APART = Duration.ofDays(1);
  private static final Duration LONG_USE = Duration.ofDays(20 * 365);

  /**
   * A folder.
   *
   * @param use what lies in it
   * @param path it, or of it what exists
   * @param writable whether files can be made there
   * @param noexec whether it is mounted so that libraries there cannot be loaded
   * @param free bytes
   * @param remedy how to take another
   */
  record Folder(String use, Path path, boolean writable, boolean noexec, long free, String remedy) {
    /**
     * Looks at a folder, or at the nearest that exists above it.
     *
     * @param mounts as {@code /proc/self/mountinfo}
     */
    static Folder of(String use, Path path, List<String> mounts, String remedy) {
      Path there = path.toAbsolutePath();
      while (!Files.exists(there) && there.getParent() != null) {
        there = there.getParent();
      }
      try {
        boolean writable = Files.isDirectory(there) && Files.isWritable(there);
        long free = Files.getFileStore(there).getUsableSpace();
        return new Folder(use, path, writable, isNoexec(there.toRealPath(), mounts), free, remedy);
      } catch (IOException e) {
        return new Folder(use, path, false, false, 0, remedy);
      }
    }

    /** Whether the last mount on the longest way to a folder lets nothing there be run. */
    static boolean isNoexec(Path folder, List<String> mounts) {
      boolean noexec = false;
      int longest = -1;
      for (String line : mounts) {
        // Fields 5 and 6: where it is mounted, and how.
        String[] fields = line.split(" ", -1);
        if (fields.length < 6) {
          continue;
        }
        String place = fields[4].replace("\\040", " ").replace("\\134", "\\");
        if (folder.startsWith(place) && place.length() >= longest) {
          longest = place.length();
          noexec = Arrays.asList(fields[5].split(",", -1)).contains("noexec");
        }
      }
      return noexec;
    }

    private void warn(List<String> warnings) {
      String folder = String.format(Locale.ROOT, "the folder of %s, %s, ", use, path);
      if (!writable) {
        warnings.add(folder + "cannot be written: " + remedy);
        return;
      }
      if (noexec) {
        warnings.add(
            folder + "is mounted noexec, so libraries unpacked there do not load: " + remedy);
      }
      if (free < LEAST_FREE) {
        warnings.add(
            String.format(
                Locale.ROOT,
                "%shas %d MiB free, too few for unpacked libraries: free some or %s",
                folder,
                free >> 20,
                remedy));
      }
    }
  }

  /** Those of this process. */
  static Surroundings here() {
    List<String> mounts = lines(Path.of("/proc/self/mountinfo"));
    return new Surroundings(
        List.of(
            Folder.of(
                "temporary files",
                Path.of(System.getProperty("java.io.tmpdir")),
                mounts,
                "name another by JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=DIR"),
            Folder.of(
                "what can be made again",
                CacheDirectory.ofUser(System.getenv()),
                mounts,
                "name another by XDG_CACHE_HOME")),
        System.getProperty("sun.jnu.encoding", "UTF-8"),
        MemoryLimit.of(Path.of("/proc/self/cgroup"), Path.of("/sys/fs/cgroup")),
        Runtime.getRuntime().maxMemory(),
        Instant.now(),
        made());
  }

  private static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file);
    } catch (IOException e) {
      // Another system than Linux, or one that does not show it.
      return List.of();
    }
  }

  private static Optional<Instant> made() {
    CodeSource source = Surroundings.class.getProtectionDomain().getCodeSource();
    try {
      return source == null
          ? Optional.empty()
          : Optional.of(
              Files.getLastModifiedTime(Path.of(source.getLocation().toURI()))
                  .toInstant()
                  .truncatedTo(ChronoUnit.SECONDS));
    } catch (IOException | URISyntaxException e) {
      return Optional.empty();
    }
  }

  /** What would hurt, a sentence each with its remedy. */
  List<String> warnings() {
    List<String> warnings = new ArrayList<>();
    folders.forEach(folder -> folder.warn(warnings));
    if (!encoding.equalsIgnoreCase("UTF-8")) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "names of files are read as %s, so others cannot be opened: %s",
              encoding,
              Names.REMEDY));
    }
    memory.ifPresent(limit -> warnOfMemory(limit, warnings));
    built.ifPresent(made -> warnOfClock(made, warnings));
    return warnings;
  }

  private void warnOfMemory(long limit, List<String> warnings) {
    if (limit < LEAST_MEMORY) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "the system lets this process have %d MiB of memory: 'fbnet search --dry-run' says"
                  + " what a search needs; raise the limit, or take --memory lean or a smaller"
                  + " --batch",
              limit >> 20));
    }
    if (heap > limit / 4 * 3) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "Java's heap may grow to %d MiB, but the system ends this process at %d MiB, of which"
                  + " most is needed beside the heap: give Java less with -Xmx",
              heap >> 20,
              limit >> 20));
    }
  }

  private void warnOfClock(Instant made, List<String> warnings) {
    boolean past = now.isBefore(made.minus(CLOCKS_APART));
    if (past || now.isAfter(made.plus(LONG_USE))) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "the clock says %s, %s this program was made (%s): set it, or runs get wrong names"
                  + " and dates and no server's certificate is taken",
              now,
              past ? "before" : "more than 20 years after",
              made));
    }
  }
}
