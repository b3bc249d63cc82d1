package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.run.RunFolder;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * A run folder's {@code config.yaml}: every flag of its search or training, in the form that {@code
 * --config} reads.
 */
final class RunConfig {
  static final String FILE = "config.yaml";

  /** Where runs lie that the user gave no folder. */
  static final Path RUNS = Path.of("runs");

  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss", Locale.ROOT).withZone(ZoneOffset.UTC);
  private static final String RESUME = "--resume";
  private static final String SEARCH = "search";
  private static final String TRAIN = "train";
  private static final String COMPARE = "compare-strategies";

  /** What only a search's configuration holds. */
  private static final String SEARCH_KEY = "space: ";

  /** What only a comparison's configuration holds, beside what a search's does. */
  private static final String COMPARE_KEY = "strategies: ";

  /** Flags that do not change what a run computes, or are checked against its checkpoint. */
  private static final Set<String> MAY_CHANGE =
      Set.of(
          RESUME,
          "--device",
          "--threads",
          "--data",
          "--data-dir",
          "--offline",
          "--rank-timeout",
          ChangedData.NAME);

  private static final Set<String> WITHOUT_VALUE = Set.of("--offline", ChangedData.NAME);

  private RunConfig() {}

  /**
   * A path from the root of the file system where a text names an existing file and no built-in
   * thing; else the text.
   */
  static String anchored(String nameOrPath, Collection<String> builtIn) {
    if (nameOrPath == null || nameOrPath.isEmpty() || builtIn.contains(nameOrPath)) {
      return nameOrPath;
    }
    Path path = Path.of(nameOrPath);
    return Files.exists(path) ? path.toAbsolutePath().normalize().toString() : nameOrPath;
  }

  /** The folder of a new run: the one that the user named, or one of its own under runs. */
  static RunFolder newFolder(Path named, String what) {
    return named == null ? newFolder(RUNS, what, Instant.now()) : RunFolder.create(named);
  }

  /**
   * Makes WHAT-TIME, or WHAT-TIME-2 and so on where runs began in the same second. The time is UTC,
   * so that names sort by it everywhere.
   */
  static RunFolder newFolder(Path parent, String what, Instant now) {
    String name = what + "-" + TIME.format(now);
    try {
      Files.createDirectories(parent);
      for (int i = 1; ; i++) {
        Path root = parent.resolve(i == 1 ? name : name + "-" + i);
        try {
          // Fails where the folder is there, be it for a moment: whoever makes it has it.
          return RunFolder.create(Files.createDirectory(root));
        } catch (FileAlreadyExistsException taken) {
          // The next number.
        }
      }
    } catch (IOException e) {
      throw AtomicFile.unwritable(parent, e);
    }
  }

  /**
   * Makes {@code --resume DIR} of search, train and compare-strategies read the run's own
   * configuration, and its architecture; whatever else would change the run is refused.
   */
  static String[] expandResume(String[] arguments) {
    if (arguments.length == 0 || !Set.of(SEARCH, TRAIN, COMPARE).contains(arguments[0])) {
      return arguments;
    }
    String verb = arguments[0];
    List<String> rest = Arrays.asList(arguments).subList(1, arguments.length);
    String folder = resumed(rest);
    if (folder == null) {
      return arguments;
    }
    Path config = Path.of(folder).resolve(FILE);
    if (!Files.isRegularFile(config)) {
      throw UserException.usage(
          "--resume %s holds no run (it has no %s): name the folder of a run", folder, FILE);
    }
    String owner = owner(config);
    if (!owner.equals(verb)) {
      throw UserException.usage(
          "%s holds %s: continue it with fbnet %s --resume %s",
          folder,
          switch (owner) {
            case SEARCH -> "the run of a search";
            case TRAIN -> "the run of a training";
            default -> "a comparison";
          },
          owner,
          folder);
    }
    requireUnchanged(rest, config);
    List<String> all = new ArrayList<>(List.of(verb, ConfigOption.NAME, config.toString()));
    if (verb.equals(TRAIN)) {
      all.add(Path.of(folder).resolve("architecture.json").toString());
    }
    all.addAll(rest);
    return all.toArray(String[]::new);
  }

  private static void requireUnchanged(List<String> arguments, Path config) {
    String before = "";
    for (String argument : arguments) {
      String name =
          argument.contains("=") ? argument.substring(0, argument.indexOf('=')) : argument;
      boolean isValue =
          before.startsWith("--") && !before.contains("=") && !WITHOUT_VALUE.contains(before);
      if (name.startsWith("--") ? !MAY_CHANGE.contains(name) : !isValue) {
        throw UserException.usage(
            "%s cannot be given with --resume: a resumed run keeps the configuration in %s",
            name, config);
      }
      before = argument;
    }
  }

  /** The verb whose flags a configuration holds. */
  private static String owner(Path config) {
    try {
      List<String> lines = Files.readAllLines(config);
      if (lines.stream().anyMatch(line -> line.startsWith(COMPARE_KEY))) {
        return COMPARE;
      }
      return lines.stream().anyMatch(line -> line.startsWith(SEARCH_KEY)) ? SEARCH : TRAIN;
    } catch (IOException e) {
      throw UserException.data("%s cannot be read (%s)", config, IoReason.of(e));
    }
  }

  private static String resumed(List<String> arguments) {
    for (int i = 0; i < arguments.size(); i++) {
      if (arguments.get(i).startsWith(RESUME + "=")) {
        return arguments.get(i).substring(RESUME.length() + 1);
      }
      if (arguments.get(i).equals(RESUME) && i + 1 < arguments.size()) {
        return arguments.get(i + 1);
      }
    }
    return null;
  }
}
