package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * A run folder's {@code config.yaml}: every flag of its search, in the form that {@code --config}
 * reads.
 */
final class RunConfig {
  static final String FILE = "config.yaml";

  /** Flags that do not change what a run computes, or are checked against its checkpoint. */
  private static final Set<String> MAY_CHANGE =
      Set.of("--resume", "--device", "--threads", "--data-dir", "--offline");

  private RunConfig() {}

  /**
   * Makes {@code search --resume DIR} read the run's own configuration; flags that would change the
   * run are refused.
   */
  static String[] expandResume(String[] arguments) {
    if (arguments.length == 0 || !arguments[0].equals("search")) {
      return arguments;
    }
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
    for (String argument : rest) {
      String name =
          argument.contains("=") ? argument.substring(0, argument.indexOf('=')) : argument;
      if (name.startsWith("--") && !MAY_CHANGE.contains(name)) {
        throw UserException.usage(
            "%s cannot be given with --resume: a resumed run keeps the configuration in %s",
            name, config);
      }
    }
    List<String> all = new ArrayList<>(List.of(arguments[0], ConfigOption.NAME, config.toString()));
    all.addAll(rest);
    return all.toArray(String[]::new);
  }

  private static String resumed(List<String> arguments) {
    for (int i = 0; i < arguments.size(); i++) {
      if (arguments.get(i).startsWith("--resume=")) {
        return arguments.get(i).substring("--resume=".length());
      }
      if (arguments.get(i).equals("--resume") && i + 1 < arguments.size()) {
        return arguments.get(i + 1);
      }
    }
    return null;
  }
}
