package io.fbnet.bench.gpu;

import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What {@link CostModel} predicts for the steps of this tree, by family. Runs nothing; {@code
 * bench/predict.sh} starts it on the software device, shaped like the GPU of the model.
 *
 * <p>Arguments: {@code --cases SPACE:BATCH,...}, {@code --precisions bf16,tf32}, and {@code --table
 * FILE} to write one line a step, which the build compares with.
 */
public final class Prediction {
  static final String CASES = "cifar:32,imagenet:32,imagenet:128,fashion:64";

  private Prediction() {}

  /** Prints every case. */
  public static void main(String[] arguments) {
    Options options = new Options(arguments, List.of("cases", "precisions", "table"));
    Gpu.require(true);
    CostModel model = CostModel.load();
    List<PlanSummary> summaries = new ArrayList<>();
    for (String precision : options.text("precisions", "bf16").split(",", -1)) {
      for (StepSetting setting : StepSetting.parse(options.text("cases", CASES))) {
        for (StepPlan plan :
            plans(setting, Precision.valueOf(precision.toUpperCase(Locale.ROOT)))) {
          summaries.add(PlanSummary.of(plan, model));
          print(plan, model);
        }
      }
    }
    System.out.println();
    System.out.print(PlanSummary.text(summaries));
    if (options.has("table")) {
      Path table = Path.of(options.text("table", ""));
      try {
        Files.writeString(table, PlanSummary.text(summaries));
      } catch (IOException e) {
        throw new UncheckedIOException("cannot write " + table, e);
      }
    }
  }

  static List<StepPlan> plans(StepSetting setting, Precision precision) {
    try (CudaBackend backend = Gpu.open(precision)) {
      return StepPlan.of(backend, setting, precision);
    }
  }

  private static void print(StepPlan plan, CostModel model) {
    System.out.printf("%n| %s | calls | MB | ms, at best | ms, at worst |%n", plan.name());
    System.out.println("| --- | --- | --- | --- | --- |");
    Map<Family, CostModel.Range> families = model.families(plan.launches());
    Arrays.stream(Family.values())
        .filter(families::containsKey)
        .forEach(
            family -> line(family.title(), plan.launches().only(family), families.get(family)));
    line("**the step**", plan.launches(), model.total(plan.launches()));
  }

  private static void line(String what, LaunchTable launches, CostModel.Range time) {
    System.out.printf(
        Locale.ROOT,
        "| %s | %d | %.0f | %.2f | %.2f |%n",
        what,
        launches.calls(),
        launches.bytes() / 1e6,
        time.low() / 1000,
        time.high() / 1000);
  }
}
