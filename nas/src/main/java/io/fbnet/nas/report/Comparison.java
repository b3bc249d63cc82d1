package io.fbnet.nas.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.FormatMethod;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.JsonText;
import io.fbnet.nas.search.Course;
import io.fbnet.nas.search.SearchCosts;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Searches of several strategies and seeds side by side, as text, JSON and a page. */
public final class Comparison {
  private static final int FORMAT = 1;

  private final Measure measure;
  private final String base;
  private final List<ComparedRun> runs;
  private final Map<String, String> conditions;
  private final int missing;

  /**
   * A comparison.
   *
   * @param measure what networks are judged by
   * @param base the strategy that the others are tested against, where it is among the runs
   * @param runs the finished ones, no strategy and seed twice
   * @param missing how many are not finished yet
   * @param conditions what is equal for all, by name
   */
  public Comparison(
      Measure measure,
      String base,
      List<ComparedRun> runs,
      int missing,
      Map<String, String> conditions) {
    this.measure = measure;
    this.base = base;
    this.runs = List.copyOf(runs);
    this.missing = missing;
    this.conditions = new LinkedHashMap<>(conditions);
  }

  /**
   * A strategy's searches.
   *
   * @param name of the strategy
   * @param runs its searches
   * @param test against the base, over the seeds that both have; empty for the base
   */
  record Row(String name, List<ComparedRun> runs, Optional<PairedTest> test) {
    double mean(java.util.function.ToDoubleFunction<ComparedRun> of) {
      return runs.stream().mapToDouble(of).average().orElse(Double.NaN);
    }

    /** The standard deviation of the values; no number of fewer than two. */
    double deviation() {
      double mean = mean(ComparedRun::value);
      double squares =
          runs.stream().mapToDouble(r -> (r.value() - mean) * (r.value() - mean)).sum();
      return runs.size() < 2 ? Double.NaN : Math.sqrt(squares / (runs.size() - 1));
    }

    Optional<ComparedRun> of(long seed) {
      return runs.stream().filter(r -> r.seed() == seed).findFirst();
    }
  }

  Measure measure() {
    return measure;
  }

  String base() {
    return base;
  }

  int missing() {
    return missing;
  }

  Map<String, String> conditions() {
    return conditions;
  }

  List<Long> seeds() {
    return runs.stream().map(ComparedRun::seed).distinct().sorted().toList();
  }

  /** A row a strategy, in the order of the runs. */
  List<Row> rows() {
    Set<String> names = new LinkedHashSet<>();
    runs.forEach(run -> names.add(run.strategy()));
    List<Row> rows = new ArrayList<>();
    for (String name : names) {
      rows.add(
          new Row(
              name,
              runs.stream().filter(run -> run.strategy().equals(name)).toList(),
              name.equals(base) || !names.contains(base)
                  ? Optional.empty()
                  : Optional.of(test(name))));
    }
    return rows;
  }

  private PairedTest test(String name) {
    List<double[]> pairs = new ArrayList<>();
    for (ComparedRun run : runs) {
      if (run.strategy().equals(name)) {
        runs.stream()
            .filter(other -> other.strategy().equals(base) && other.seed() == run.seed())
            .forEach(other -> pairs.add(new double[] {run.value(), other.value()}));
      }
    }
    double[] own = pairs.stream().mapToDouble(pair -> pair[0]).toArray();
    double[] others = pairs.stream().mapToDouble(pair -> pair[1]).toArray();
    return PairedTest.of(own, others);
  }

  /** Means over seeds of the best so far, with least and most, over what was spent. */
  static List<Series.Bin> band(List<ComparedRun> runs, int points, double unit) {
    List<ComparedRun> drawn = runs.stream().filter(run -> !run.course().isEmpty()).toList();
    if (drawn.isEmpty()) {
      return List.of();
    }
    // From where every search has a network to where none gets a better one.
    double from = drawn.stream().mapToDouble(r -> r.course().getFirst().macs()).max().orElse(0);
    double to = drawn.stream().mapToDouble(r -> r.course().getLast().macs()).max().orElse(0);
    int count = to > from ? points : 1;
    List<Series.Bin> bins = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      double at = count == 1 ? from : from + (to - from) * i / (count - 1);
      double[] values = drawn.stream().mapToDouble(run -> bestAt(run, at)).toArray();
      bins.add(
          new Series.Bin(
              at / unit,
              Arrays.stream(values).min().orElseThrow(),
              Arrays.stream(values).average().orElseThrow(),
              Arrays.stream(values).max().orElseThrow()));
    }
    return bins;
  }

  private static double bestAt(ComparedRun run, double macs) {
    double best = run.course().getFirst().accuracy();
    for (Course.Scored scored : run.course()) {
      // The last point of the axis is that of a search itself, up to rounding.
      if (scored.macs() <= macs * (1 + 1e-12)) {
        best = scored.accuracy();
      }
    }
    return best;
  }

  @FormatMethod
  private static String format(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  /** {@return tables for people} */
  public String text() {
    StringBuilder text = new StringBuilder();
    String against = "against " + base;
    text.append(
        format(
            "%-18s %5s %12s %9s   %-20s %-20s %7s %7s%n",
            "strategy", "runs", "mult.-adds", "seconds", measure.title(), against, "t", "p"));
    for (Row row : rows()) {
      text.append(
          format(
              "%-18s %5d %12s %9.0f   %-20s %-20s %7s %7s%n",
              row.name(),
              row.runs().size(),
              macs(row.mean(ComparedRun::macs)),
              row.mean(ComparedRun::seconds),
              mean(row),
              row.test().map(this::difference).orElse("-"),
              row.test().map(t -> number("%.2f", t.t())).orElse("-"),
              row.test().map(t -> number("%.3f", t.p())).orElse("-")));
    }
    text.append(format("%n%-18s", measure.title()));
    seeds().forEach(seed -> text.append(format(" %9s", "seed " + seed)));
    text.append(format("%n"));
    for (Row row : rows()) {
      text.append(format("%-18s", row.name()));
      for (long seed : seeds()) {
        text.append(format(" %9s", row.of(seed).map(r -> measure.text(r.value())).orElse("-")));
      }
      text.append(format("%n"));
    }
    text.append(format("%n%s: %s%n", measure.title(), measure.note()));
    if (missing > 0) {
      text.append(format("%d searches are not finished yet%n", missing));
    }
    return text.toString();
  }

  /** The mean of a row's values and, of several, their standard deviation. */
  String mean(Row row) {
    String mean = measure.text(row.mean(ComparedRun::value));
    return row.runs().size() < 2 ? mean : mean + " \u00b1 " + measure.text(row.deviation());
  }

  String difference(PairedTest test) {
    return number(measure == Measure.REGRET ? "%+.3f" : "%+.4f", test.mean())
        + " of "
        + test.pairs()
        + (test.pairs() == 1 ? " pair" : " pairs");
  }

  /** Multiply-adds, where they are counted. */
  static String macs(double macs) {
    return macs > 0 ? SearchCosts.text(macs) : "-";
  }

  static String number(String format, double value) {
    return Double.isFinite(value) ? String.format(Locale.ROOT, format, value) : "-";
  }

  /** {@return everything as JSON} */
  public ObjectNode json() {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", FORMAT).put("measure", measure.title()).put("base", base);
    tree.put("missing", missing);
    ObjectNode equal = tree.putObject("conditions");
    conditions.forEach(equal::put);
    ArrayNode strategies = tree.putArray("strategies");
    for (Row row : rows()) {
      ObjectNode item = strategies.addObject().put("name", row.name());
      item.put("runs", row.runs().size());
      put(item, "mean", row.mean(ComparedRun::value));
      put(item, "deviation", row.deviation());
      put(item, "macs", row.mean(ComparedRun::macs));
      put(item, "seconds", row.mean(ComparedRun::seconds));
      row.test()
          .ifPresent(
              test -> {
                item.put("pairs", test.pairs());
                put(item, "difference", test.mean());
                put(item, "t", test.t());
                put(item, "p", test.p());
              });
    }
    ArrayNode list = tree.putArray("runs");
    for (ComparedRun run : runs) {
      ObjectNode item = list.addObject().put("strategy", run.strategy()).put("seed", run.seed());
      put(item, "value", run.value());
      put(item, "score", run.score());
      put(item, "latency_ms", run.latencyMs());
      put(item, "macs", run.macs());
      put(item, "seconds", run.seconds());
      item.put("scored", run.scored());
      ArrayNode blocks = item.putArray("blocks");
      run.blocks().forEach(blocks::add);
    }
    return tree;
  }

  private static void put(ObjectNode item, String name, double value) {
    if (Double.isFinite(value)) {
      item.put(name, value);
    } else {
      item.putNull(name);
    }
  }

  /**
   * Writes the page, one file that needs no other and no network.
   *
   * @param target the HTML file, written whole or not at all
   * @throws io.fbnet.nas.UserException (exit code 5) if it cannot be written
   */
  public void writePage(Path target) {
    AtomicFile.writeText(target, new ComparisonPage(this).html());
  }

  /**
   * Writes the JSON file.
   *
   * @param target written whole or not at all
   * @throws io.fbnet.nas.UserException (exit code 5) if it cannot be written
   */
  public void writeJson(Path target) {
    AtomicFile.writeText(target, JsonText.of(json()));
  }
}
