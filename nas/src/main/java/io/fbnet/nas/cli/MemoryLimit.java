package io.fbnet.nas.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;

/** How much memory the system lets this process have: what Linux calls cgroups, both versions. */
final class MemoryLimit {
  /** The first version says no limit by the largest number of whole pages. */
  private static final long NONE = 1L << 60;

  private MemoryLimit() {}

  /**
   * The least limit of the groups that the process is in, in bytes; empty where there is none, or
   * no such groups.
   *
   * @param process the list of a process's groups, as {@code /proc/self/cgroup}
   * @param groups where the groups are shown, as {@code /sys/fs/cgroup}
   */
  static OptionalLong of(Path process, Path groups) {
    List<String> lines;
    try {
      lines = Files.readAllLines(process);
    } catch (IOException e) {
      return OptionalLong.empty();
    }
    long least = NONE;
    for (String line : lines) {
      // Number of the hierarchy, its controllers, and the group.
      String[] parts = line.split(":", 3);
      if (parts.length < 3) {
        continue;
      }
      if (parts[1].isEmpty()) {
        least = Math.min(least, least(groups, parts[2], "memory.max"));
        least = Math.min(least, least(groups.resolve("unified"), parts[2], "memory.max"));
      } else if (Arrays.asList(parts[1].split(",", -1)).contains("memory")) {
        least = Math.min(least, least(groups.resolve("memory"), parts[2], "memory.limit_in_bytes"));
      }
    }
    return least < NONE ? OptionalLong.of(least) : OptionalLong.empty();
  }

  /**
   * The least limit of a group and those around it. A container may show its own group as the
   * outermost while the list names it by where it is outside: what is not there says nothing.
   */
  private static long least(Path root, String group, String file) {
    long least = NONE;
    Path place = root.resolve(group.replaceFirst("^/+", "")).normalize();
    if (!place.startsWith(root)) {
      place = root;
    }
    while (place != null && place.startsWith(root)) {
      least = Math.min(least, read(place.resolve(file)));
      place = place.getParent();
    }
    return least;
  }

  private static long read(Path file) {
    try {
      String text = Files.readString(file).strip();
      return text.matches("\\d{1,18}") ? Long.parseLong(text) : NONE;
    } catch (IOException e) {
      return NONE;
    }
  }
}
