package io.fbnet.nas.cli;

import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.Selection;
import io.fbnet.nas.search.Theta;
import java.util.List;
import java.util.Locale;
import java.util.stream.LongStream;

/** Draws architectures, scores them, writes the best, and says so. */
final class SampleReport {
  private static final int INSIDE_DRAWS = 100;

  private SampleReport() {}

  /**
   * Scores {@code count} draws from theta and, if asked, as many uniform ones within the same
   * budget; writes the best of theta's to the run folder; reads the test images once, for it.
   */
  static void run(
      Search search,
      RunFolder folder,
      int count,
      boolean uniform,
      Console console,
      ProgressLine progress) {
    int total = uniform ? 2 * count : count;
    Selection selection =
        search.select(
            count, uniform, done -> progress.update(done, total, "scoring architectures"));
    progress.close();
    List<Score> drawn = selection.drawn();
    List<Score> baseline = selection.uniform();
    Score best = selection.best();
    best.architecture().write(folder.architecture());
    selection.write(folder.files().samples());
    if (drawn.size() < count) {
      console.warn(
          String.format(
              Locale.ROOT,
              "only %d of %d different architectures were found%s: theta hardly gives others",
              drawn.size(),
              count,
              search.supernet().budget().isEmpty() ? "" : " within the budget"));
    }
    if (uniform && baseline.size() < drawn.size()) {
      console.warn(
          String.format(
              Locale.ROOT,
              "only %d of %d uniform draws were found within the budget: hardly any networks are",
              baseline.size(),
              drawn.size()));
    }
    StringBuilder text = new StringBuilder();
    table(text, "drawn from theta", drawn, best);
    if (!baseline.isEmpty()) {
      Score other = search.objective().least(baseline);
      table(text, "drawn uniformly", baseline, other);
      text.append(
          String.format(Locale.ROOT, "%n%-24s %10s %10s %8s%n", "", "latency", "accuracy", "loss"));
      line(text, "best of " + drawn.size() + " from theta", List.of(best));
      line(text, "best of " + baseline.size() + " uniform", List.of(other));
      line(text, "mean of " + drawn.size() + " from theta", drawn);
      line(text, "mean of " + baseline.size() + " uniform", baseline);
    }
    console.print(text.toString());
    summary(search, folder, selection, console);
    Budget budget = search.supernet().budget();
    if (!budget.isEmpty()) {
      console.print(budgetText(budget, search.supernet().theta(), search.settings().seed(), best));
    }
  }

  /** The mean of scores. */
  private static void line(StringBuilder text, String title, List<Score> scores) {
    text.append(
        String.format(
            Locale.ROOT,
            "%-24s %7.4f ms %10.4f %8.4f%n",
            title,
            scores.stream().mapToDouble(Score::latencyMs).average().orElseThrow(),
            scores.stream().mapToDouble(Score::accuracy).average().orElseThrow(),
            scores.stream().mapToDouble(Score::loss).average().orElseThrow()));
  }

  /** How well the architecture and theta itself keep the budget. */
  private static String budgetText(Budget budget, Theta theta, long seed, Score best) {
    StringBuilder text = new StringBuilder();
    for (Limit limit : budget.limits()) {
      double cost = limit.of(best.architecture().choice());
      text.append(
          String.format(
              Locale.ROOT,
              "  %s %s, %.3f of the %s %s; theta's expectation %s%n",
              limit.kind().isLatency() ? "latency" : limit.kind().word(),
              limit.kind().text(cost),
              cost / limit.target(),
              limit.kind() == Limit.Kind.LATENCY ? "target" : "most allowed,",
              limit.kind().text(limit.target()),
              limit.kind().text(limit.expected(theta.probabilities()))));
    }
    long inside =
        LongStream.range(0, INSIDE_DRAWS).filter(i -> budget.met(theta.sample(seed, i))).count();
    return text.append(
            String.format(
                Locale.ROOT,
                "  %d of %d draws from theta are within the budget%n",
                inside,
                INSIDE_DRAWS))
        .toString();
  }

  private static void table(StringBuilder text, String title, List<Score> scores, Score best) {
    text.append(
        String.format(
            Locale.ROOT, "%-18s %10s %10s %8s   blocks%n", title, "latency", "accuracy", "loss"));
    int star = best == null ? -1 : scores.indexOf(best);
    for (int i = 0; i < scores.size(); i++) {
      Score s = scores.get(i);
      text.append(
          String.format(
              Locale.ROOT,
              "%s %-16d %7.4f ms %10.4f %8.4f   %s%n",
              i == star ? "*" : " ",
              i + 1,
              s.latencyMs(),
              s.accuracy(),
              s.loss(),
              s.architecture().blockLine()));
    }
  }

  private static void summary(
      Search search, RunFolder folder, Selection selection, Console console) {
    Score best = selection.best();
    Description description = Description.of(best.architecture()).withLatency(best.latencyMs());
    Dataset data = search.data();
    console.print(
        String.format(
            Locale.ROOT,
            "%nFound for %s%n  %s%n  latency %.4f ms (table), %.2f M multiply-adds, %.3f M"
                + " parameters%n  accuracy with the supernet's weights: %.4f on the theta split,"
                + " %.4f on the %d test images of %s%s%n  written to %s%n",
            search.table().device(),
            best.architecture().blockLine(),
            best.latencyMs(),
            description.macs() / 1e6,
            description.parameters() / 1e6,
            best.accuracy(),
            selection.test().accuracy(),
            data.test().size(),
            data.name(),
            data.generated() ? " (generated)" : "",
            folder.architecture()));
  }
}
