package io.fbnet.nas.latency;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Rows of numbers, one a layer, one number a block, apart by spaces, tabs, commas or semicolons.
 * {@code #} begins a comment. The first row may name the blocks, each row may begin with its layer
 * ({@code L3}), and a line of a word and a value may say {@code unit}, {@code fixed}, {@code
 * device}, {@code batch} or {@code relative_to}.
 */
final class TextTable {
  private static final Set<String> WORDS =
      Set.of("unit", "fixed", "device", "batch", "relative_to");

  /** More is none, and trying how far digits go would take time by the square of their number. */
  private static final int LONGEST_NUMBER = 400;

  private final String file;
  private final SearchSpace space;
  private final TableImport.Request request;
  private final Map<String, String> said = new LinkedHashMap<>();
  private final List<double[]> rows = new ArrayList<>();

  /** For every candidate of the space its column in the file; null until a header came. */
  private int[] columns;

  /** How many columns the file has. */
  private int width;

  /**
   * The column that numbers the layers, -1 without one; its numbers, with the lines they are in.
   */
  private int label = -1;

  private final SequencedMap<Integer, Integer> labels = new LinkedHashMap<>();

  private TextTable(String file, TableImport.Request request) {
    this.file = file;
    this.request = request;
    space = request.requireSpace(file);
    width = space.blocks().size();
  }

  static LatencyTable parse(String text, String file, TableImport.Request request) {
    return new TextTable(file, request).table(text);
  }

  private LatencyTable table(String text) {
    int number = 0;
    for (String raw : text.split("\n", -1)) {
      number++;
      int comment = raw.indexOf('#');
      String line = (comment < 0 ? raw : raw.substring(0, comment)).strip();
      if (!line.isEmpty()) {
        line(line, number);
      }
    }
    if (rows.size() != space.layerCount()) {
      throw UserException.data(
          "%s has %d rows of numbers, the space '%s' %d layers",
          file, rows.size(), space.name(), space.layerCount());
    }
    sort();
    TableImport.Unit unit = unit();
    boolean relative = request.relative() || said.containsKey("relative_to");
    if (!relative) {
      refuseNegative();
    }
    double[][] ms = new double[rows.size()][];
    for (int l = 0; l < ms.length; l++) {
      ms[l] = Arrays.stream(rows.get(l)).map(unit::toMs).toArray();
    }
    int batch =
        request
            .batch()
            .orElseGet(
                () -> said.containsKey("batch") ? (int) value("batch", said.get("batch")) : 1);
    if (batch < 1) {
      throw UserException.data("%s: the batch must be at least 1, but is %d", file, batch);
    }
    return TableImport.build(
        LatencyTable.builder(device(), space)
            .fixed(unit.toMs(fixed()))
            .layers(ms)
            .relative(relative)
            .origin("imported from " + Path.of(file).getFileName())
            .fingerprint(Fingerprint.of("", 0, Map.of(), "", batch, "")),
        file);
  }

  private void line(String line, int number) {
    String[] head = line.split("[\\s:=]+", 2);
    if (head.length == 2 && WORDS.contains(head[0])) {
      if (said.put(head[0], head[1].strip()) != null) {
        throw wrong(number, "'" + head[0] + "' is said a second time");
      }
      return;
    }
    List<String> cells = cells(line);
    if (label < 0 && !cells.isEmpty() && cells.getFirst().matches("L\\d+")) {
      String wanted = "L" + (rows.size() + 1);
      if (!cells.getFirst().equals(wanted)) {
        throw wrong(number, "here is " + cells.getFirst() + ", but " + wanted + " is next");
      }
      cells = cells.subList(1, cells.size());
    }
    if (rows.isEmpty() && columns == null && !cells.isEmpty() && !isNumber(cells.getFirst())) {
      header(cells, number);
      return;
    }
    row(cells, number);
  }

  /** The cells of a line, apart by commas too unless they stand where decimal points would. */
  private List<String> cells(String line) {
    List<String> cells = split(line, "[\\s,;]+");
    List<String> decimal = split(line, "[\\s;]+");
    boolean commas =
        cells.size() != width
            && decimal.size() < cells.size()
            && decimal.stream()
                .allMatch(
                    cell ->
                        cell.length() <= LONGEST_NUMBER && cell.matches("[-+]?\\d*,?\\d+|L\\d+"));
    return commas ? decimal.stream().map(cell -> cell.replace(',', '.')).toList() : cells;
  }

  private static List<String> split(String line, String separators) {
    return Arrays.stream(line.split(separators)).filter(cell -> !cell.isEmpty()).toList();
  }

  private void header(List<String> cells, int number) {
    List<String> missing =
        space.blockNames().stream().filter(name -> !cells.contains(name)).toList();
    if (!missing.isEmpty()) {
      throw wrong(
          number,
          String.format(
              Locale.ROOT,
              "the header lacks %d of the %d blocks of the space '%s': %s",
              missing.size(),
              space.blocks().size(),
              space.name(),
              TableImport.some(missing)));
    }
    if (cells.stream().distinct().count() != cells.size()) {
      throw wrong(number, "the header names a block twice");
    }
    List<String> others =
        cells.stream()
            .filter(name -> !space.blockNames().contains(name) && !isLabel(name))
            .toList();
    label =
        IntStream.range(0, cells.size()).filter(i -> isLabel(cells.get(i))).findFirst().orElse(-1);
    if (!others.isEmpty()) {
      request
          .notes()
          .accept(
              String.format(
                  Locale.ROOT,
                  "%s: %d columns are no blocks of the space '%s' and were left out: %s",
                  file,
                  others.size(),
                  space.name(),
                  TableImport.some(others)));
    }
    columns = space.blockNames().stream().mapToInt(cells::indexOf).toArray();
    width = cells.size();
  }

  private static boolean isLabel(String name) {
    return name.toLowerCase(Locale.ROOT).matches("layer([_-]?(id|index|idx|number|nr|no))?");
  }

  /** Notes which layer a row says it is of. */
  private void label(String cell, int number) {
    if (!cell.matches("L?\\d{1,6}")) {
      throw wrong(number, "'" + cell + "' is no number of a layer");
    }
    int layer = Integer.parseInt(cell.replace("L", ""));
    Integer before = labels.putIfAbsent(layer, number);
    if (before != null) {
      throw wrong(
          number, "layer " + layer + " stands a second time (first in line " + before + ")");
    }
  }

  /** Brings rows that are numbered into the order of their layers, from 1 or from 0. */
  private void sort() {
    if (labels.isEmpty()) {
      return;
    }
    List<double[]> read = List.copyOf(rows);
    List<Integer> order = List.copyOf(labels.sequencedKeySet());
    int first = labels.containsKey(0) ? 0 : 1;
    for (int l = 0; l < rows.size(); l++) {
      int at = order.indexOf(first + l);
      if (at < 0) {
        throw UserException.data("%s numbers its layers, but has no layer %d", file, first + l);
      }
      rows.set(l, read.get(at));
    }
  }

  private void row(List<String> cells, int number) {
    if (cells.size() != width) {
      throw wrong(
          number,
          String.format(
              Locale.ROOT, "%d numbers are needed, one a block, not %d", width, cells.size()));
    }
    if (rows.size() == space.layerCount()) {
      throw wrong(
          number,
          String.format(
              Locale.ROOT,
              "this is row %d, but the space '%s' has %d layers",
              rows.size() + 1,
              space.name(),
              space.layerCount()));
    }
    if (label >= 0) {
      label(cells.get(label), number);
    }
    double[] row = new double[space.blocks().size()];
    for (int k = 0; k < row.length; k++) {
      String cell = cells.get(columns == null ? k : columns[k]);
      if (!isNumber(cell)) {
        throw wrong(number, "'" + cell + "' is no number");
      }
      row[k] = Double.parseDouble(cell);
    }
    rows.add(row);
  }

  private static boolean isNumber(String cell) {
    return cell.length() <= LONGEST_NUMBER
        && cell.matches("[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d{1,3})?")
        && Double.isFinite(Double.parseDouble(cell));
  }

  private void refuseNegative() {
    for (int l = 0; l < rows.size(); l++) {
      for (int k = 0; k < rows.get(l).length; k++) {
        if (rows.get(l)[k] < 0) {
          throw UserException.data(
              "%s: the entry of L%d and %s is negative: if the entries are differences to skip, say"
                  + " --relative",
              file, l + 1, space.blockNames().get(k));
        }
      }
    }
  }

  private TableImport.Unit unit() {
    if (request.unit().isPresent()) {
      return request.unit().get();
    }
    String unit = said.get("unit");
    if (unit == null) {
      throw UserException.usage("%s does not say its unit: name it by --unit ms or us", file);
    }
    return switch (unit) {
      case "ms" -> TableImport.Unit.MS;
      case "us" -> TableImport.Unit.US;
      default -> throw UserException.data("%s: the unit is ms or us, not '%s'", file, unit);
    };
  }

  private String device() {
    return request
        .device()
        .or(() -> Optional.ofNullable(said.get("device")))
        .orElseThrow(
            () -> UserException.usage("%s does not say its device: name it by --device", file));
  }

  private double fixed() {
    if (request.fixed().isPresent()) {
      return request.fixed().getAsDouble();
    }
    if (!said.containsKey("fixed")) {
      throw UserException.usage(
          "%s does not say what every network pays (stem, head, classifier): name it by --fixed, 0"
              + " if nothing",
          file);
    }
    return value("fixed", said.get("fixed"));
  }

  private double value(String word, String text) {
    if (!isNumber(text)) {
      throw UserException.data("%s: '%s' needs a number, not '%s'", file, word, text);
    }
    return Double.parseDouble(text);
  }

  private UserException wrong(int line, String complaint) {
    return UserException.data("%s, line %d: %s", file, line, complaint);
  }

  /** The table in this form. */
  static String text(LatencyTable table) {
    StringBuilder out = new StringBuilder("# Latency table of the space ");
    out.append(table.space().name()).append(", one row a layer.\n");
    comment(out, table.validated());
    comment(out, table.origin());
    out.append("device ").append(table.device().replace('#', ' ')).append('\n');
    out.append("unit ms\n");
    out.append("batch ").append(table.fingerprint().batch()).append('\n');
    if (table.relative()) {
      out.append("relative_to skip\n");
    }
    out.append("fixed ").append(table.fixed()).append('\n');
    out.append("layer ").append(String.join(" ", table.space().blocks())).append('\n');
    double[][] ms = table.layers();
    for (int l = 0; l < ms.length; l++) {
      out.append(String.format(Locale.ROOT, "L%d", l + 1));
      for (double value : ms[l]) {
        out.append(' ').append(value);
      }
      out.append('\n');
    }
    return out.toString();
  }

  private static void comment(StringBuilder out, String words) {
    if (!words.isEmpty()) {
      out.append("# ").append(words.replace('\n', ' ')).append('\n');
    }
  }
}
