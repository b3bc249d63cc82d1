package io.fbnet.nas.report;

import java.util.List;
import java.util.Locale;

/** The HTML of a comparison, from top to bottom. */
final class ComparisonPage {
  private static final double TERA = 1e12;
  private static final int POINTS = 120;

  /** Styles of lines that the page's style sheet has. */
  private static final int STYLES = 9;

  private final Comparison comparison;
  private final List<Comparison.Row> rows;

  ComparisonPage(Comparison comparison) {
    this.comparison = comparison;
    rows = comparison.rows();
  }

  String html() {
    Svg body = new Svg();
    body.open("header").words("h1", "Strategies compared");
    int runs = rows.stream().mapToInt(row -> row.runs().size()).sum();
    body.words(
        "p",
        String.format(
            Locale.ROOT,
            "strategies: %d \u00b7 seeds: %d \u00b7 searches: %d",
            rows.size(),
            comparison.seeds().size(),
            runs),
        "class",
        "facts");
    body.close("header").newline();
    if (comparison.missing() > 0) {
      body.open("ul", "class", "missing");
      body.words(
          "li",
          String.format(
              Locale.ROOT, "%d searches are not finished and not shown.", comparison.missing()));
      body.close("ul").newline();
    }
    course(body);
    table(body);
    values(body);
    conditions(body);
    return Html.page("Strategies compared", body);
  }

  private static void section(Svg out, String title, String note) {
    String id = title.toLowerCase(Locale.ROOT).replace(' ', '-');
    out.open("section", "id", id).words("h2", title);
    out.words("p", note, "class", "note");
  }

  /** Whether what was spent is counted in multiply-adds; else in networks. */
  private boolean hasMacs() {
    return rows.stream().anyMatch(row -> row.runs().stream().anyMatch(run -> run.macs() > 0));
  }

  private void course(Svg out) {
    boolean regret = comparison.measure() == Measure.REGRET;
    LinePlot plot =
        new LinePlot(regret ? "Regret so far" : "Best score so far", regret ? "points" : "")
            .over(hasMacs() ? "multiply-adds, 10^12" : "networks judged");
    for (int i = 0; i < rows.size(); i++) {
      plot.band(
          rows.get(i).name(),
          "s" + i % STYLES,
          Comparison.band(rows.get(i).runs(), POINTS, hasMacs() ? TERA : 1));
    }
    if (plot.isEmpty()) {
      return;
    }
    section(
        out,
        "Best so far against cost",
        "Lines are means over seeds, bands reach from the least to the most. "
            + (regret
                ? "Regret is of the network that the search would have taken."
                : "Scores are accuracies on the theta split by what scored networks in the search;"
                    + " a line begins where every search of its strategy has scored a network, so"
                    + " behind the training of its supernet."));
    out.open("div", "class", "plots").markup(plot.figure()).close("div");
    out.close("section").newline();
  }

  private void table(Svg out) {
    Measure measure = comparison.measure();
    section(
        out,
        "Results",
        "Value: "
            + measure.title()
            + ", "
            + measure.note()
            + (measure.least() ? "; the least is the best." : "; the most is the best."));
    out.open("div", "class", "scroll").open("table").open("tr");
    for (String head :
        List.of(
            "strategy",
            "searches",
            "multiply-adds",
            "seconds",
            "scored",
            "value",
            "less " + comparison.base(),
            "t",
            "p")) {
      out.words("th", head);
    }
    out.close("tr");
    for (Comparison.Row row : rows) {
      out.open("tr").words("td", row.name());
      number(out, Integer.toString(row.runs().size()));
      number(out, Comparison.macs(row.mean(ComparedRun::macs)));
      number(out, Comparison.number("%.0f", row.mean(ComparedRun::seconds)));
      number(out, Comparison.number("%.0f", row.mean(ComparedRun::scored)));
      number(out, comparison.mean(row));
      number(out, row.test().map(comparison::difference).orElse(""));
      number(out, row.test().map(test -> Comparison.number("%.2f", test.t())).orElse(""));
      number(out, row.test().map(test -> Comparison.number("%.3f", test.p())).orElse(""));
      out.close("tr");
    }
    out.close("table").close("div");
    out.words(
        "p",
        "Means over searches, of values with the standard deviation. t and p (two-sided) are of"
            + " Student's test of the differences at equal seeds.",
        "class",
        "note");
    out.close("section").newline();
  }

  private static void number(Svg out, String text) {
    out.words("td", text, "class", "n");
  }

  private void values(Svg out) {
    section(out, "All values", "A search a row; equal seeds have equal images.");
    out.open("div", "class", "scroll").open("table").open("tr");
    for (String head :
        List.of("seed", "strategy", "value", "score", "ms", "multiply-adds", "seconds", "blocks")) {
      out.words("th", head);
    }
    out.close("tr");
    for (long seed : comparison.seeds()) {
      for (Comparison.Row row : rows) {
        row.of(seed)
            .ifPresent(
                run -> {
                  out.open("tr");
                  number(out, Long.toString(seed));
                  out.words("td", row.name());
                  number(out, comparison.measure().text(run.value()));
                  number(out, Comparison.number("%.4f", run.score()));
                  number(out, Comparison.number("%.4f", run.latencyMs()));
                  number(out, Comparison.macs(run.macs()));
                  number(out, Comparison.number("%.0f", run.seconds()));
                  out.words("td", String.join(" ", run.blocks())).close("tr");
                });
      }
    }
    out.close("table").close("div").close("section").newline();
  }

  private void conditions(Svg out) {
    section(out, "Conditions", "Equal for all searches.");
    out.open("dl", "class", "pairs");
    comparison
        .conditions()
        .forEach(
            (name, value) -> {
              if (!value.isEmpty()) {
                out.words("dt", name).words("dd", value);
              }
            });
    out.close("dl").close("section").newline();
  }
}
