package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Extent;
import io.fbnet.engine.backend.Launch.Family;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The launches of a step, equal ones as one row with their count.
 *
 * @param counts how often a step makes each launch
 */
record LaunchTable(Map<Launch, Integer> counts) {
  private static final List<String> COLUMNS =
      List.of(
          "count",
          "family",
          "call",
          "grid",
          "block",
          "sizes",
          "read",
          "written",
          "elements",
          "flops",
          "rounds");

  private static final String NONE = "-";

  /** Of a step's launches in the order in which they run. */
  static LaunchTable of(List<Launch> launches) {
    Map<Launch, Integer> counts = new LinkedHashMap<>();
    launches.forEach(launch -> counts.merge(launch, 1, Integer::sum));
    return new LaunchTable(counts);
  }

  /** Those of one family. */
  LaunchTable only(Family family) {
    Map<Launch, Integer> some = new LinkedHashMap<>();
    counts.forEach(
        (launch, n) -> {
          if (launch.family() == family) {
            some.put(launch, n);
          }
        });
    return new LaunchTable(some);
  }

  int calls() {
    return counts.values().stream().mapToInt(Integer::intValue).sum();
  }

  /** Bytes read and written. */
  long bytes() {
    return counts.entrySet().stream()
        .mapToLong(e -> e.getValue() * (e.getKey().readBytes() + e.getKey().writtenBytes()))
        .sum();
  }

  /** As tab-separated text, sorted so that two tables can be compared line by line. */
  String text() {
    return counts.entrySet().stream()
        .sorted(
            Comparator.<Map.Entry<Launch, Integer>, Family>comparing(e -> e.getKey().family())
                .thenComparing(e -> line(e.getKey())))
        .map(e -> e.getValue() + "\t" + line(e.getKey()) + "\n")
        .collect(Collectors.joining("", String.join("\t", COLUMNS) + "\n", ""));
  }

  private static String line(Launch l) {
    return String.join(
        "\t",
        l.family().name(),
        l.call(),
        l.grid() == null ? NONE : l.grid().toString(),
        l.block() == null ? NONE : l.block().toString(),
        l.sizes().isEmpty()
            ? NONE
            : l.sizes().stream().map(String::valueOf).collect(Collectors.joining("x")),
        Long.toString(l.readBytes()),
        Long.toString(l.writtenBytes()),
        Long.toString(l.elements()),
        Long.toString(l.flops()),
        Long.toString(l.rounds()));
  }

  /**
   * Reads what {@link #text} gave.
   *
   * @throws IllegalArgumentException where a line is not one of a table
   */
  static LaunchTable read(Path file) {
    List<String> lines = lines(file);
    Map<Launch, Integer> counts = new LinkedHashMap<>();
    for (int i = 1; i < lines.size(); i++) {
      String[] cells = lines.get(i).split("\t", -1);
      try {
        counts.put(launch(cells), Integer.parseInt(cells[0]));
      } catch (RuntimeException e) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT,
                "%s, line %d is no row of a launch table (%s); write the table anew with"
                    + " SupernetStep --plan",
                file,
                i + 1,
                String.join(", ", COLUMNS)),
            e);
      }
    }
    return new LaunchTable(counts);
  }

  /** The lines of a table, its remarks left out. */
  static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file).stream().filter(line -> !line.startsWith("#")).toList();
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
  }

  private static Launch launch(String[] cells) {
    List<Long> sizes = new ArrayList<>();
    if (!cells[5].equals(NONE)) {
      Arrays.stream(cells[5].split("x", -1)).map(Long::valueOf).forEach(sizes::add);
    }
    return new Launch(
        Family.valueOf(cells[1]),
        cells[2],
        extent(cells[3]),
        extent(cells[4]),
        List.copyOf(sizes),
        Long.parseLong(cells[6]),
        Long.parseLong(cells[7]),
        Long.parseLong(cells[8]),
        Long.parseLong(cells[9]),
        Long.parseLong(cells[10]));
  }

  private static Extent extent(String text) {
    if (text.equals(NONE)) {
      return null;
    }
    int[] three = Arrays.stream(text.split("x", -1)).mapToInt(Integer::parseInt).toArray();
    return new Extent(three[0], three[1], three[2]);
  }
}
