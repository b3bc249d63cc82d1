package io.fbnet.bench.gpu;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * A step in one line: what the build holds it to.
 *
 * @param name of the step
 * @param calls of the device
 * @param bytes that they read and write
 * @param smallShare of the predicted time that is in grids of fewer blocks than multiprocessors, as
 *     far as grids are known
 * @param arenaBytes that the intermediates share
 * @param low predicted milliseconds if all goes well
 * @param high predicted milliseconds by what is known
 */
record PlanSummary(
    String name,
    int calls,
    long bytes,
    double smallShare,
    long arenaBytes,
    double low,
    double high) {
  private static final String HEAD =
      "step\tcalls\tbytes\tsmall_grid_share\tarena_bytes\tlow_ms\thigh_ms\n";

  static PlanSummary of(StepPlan plan, CostModel model) {
    CostModel.Range total = model.total(plan.launches());
    return new PlanSummary(
        plan.name(),
        plan.launches().calls(),
        plan.launches().bytes(),
        model.smallShare(plan.launches()),
        plan.arenaBytes(),
        total.low() / 1000,
        total.high() / 1000);
  }

  /** A table of steps. */
  static String text(List<PlanSummary> steps) {
    return steps.stream()
        .map(
            s ->
                String.format(
                    Locale.ROOT,
                    "%s\t%d\t%d\t%.3f\t%d\t%.2f\t%.2f%n",
                    s.name,
                    s.calls,
                    s.bytes,
                    s.smallShare,
                    s.arenaBytes,
                    s.low,
                    s.high))
        .collect(Collectors.joining("", HEAD, ""));
  }

  /** Reads what {@link #text} gave. */
  static List<PlanSummary> read(Path file) {
    List<PlanSummary> steps = new ArrayList<>();
    List<String> lines = LaunchTable.lines(file);
    for (String line : lines.subList(1, lines.size())) {
      String[] cells = line.split("\t", -1);
      steps.add(
          new PlanSummary(
              cells[0],
              Integer.parseInt(cells[1]),
              Long.parseLong(cells[2]),
              Double.parseDouble(cells[3]),
              Long.parseLong(cells[4]),
              Double.parseDouble(cells[5]),
              Double.parseDouble(cells[6])));
    }
    return steps;
  }
}
