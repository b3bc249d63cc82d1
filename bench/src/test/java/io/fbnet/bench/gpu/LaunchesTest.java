package io.fbnet.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Steps do not come to launch or move more than the committed table says. */
class LaunchesTest {
  private static final Path TABLE = Path.of("results/launches.tsv");
  private static final String REMEDY =
      "; if that is meant, build and write the table anew with: bench/predict.sh --table"
          + " bench/results/launches.tsv";

  /** What the table's digits leave open. */
  private static final double ROUNDING = 0.0006;

  private static List<StepPlan> plans;

  @BeforeAll
  static void plan() {
    assumeTrue(CudaBackend.obstacle().isEmpty(), CudaBackend::obstacle);
    try (CudaBackend backend = Gpu.open(Precision.BF16)) {
      assumeTrue(CudaBackend.isSoftware(backend.device()), "plans are made on the software device");
    }
    plans =
        StepSetting.parse(Prediction.CASES).stream()
            .flatMap(setting -> Prediction.plans(setting, Precision.BF16).stream())
            .toList();
  }

  @Test
  void nothingRisesAboveTheTable() {
    Map<String, PlanSummary> committed =
        PlanSummary.read(TABLE).stream()
            .collect(Collectors.toMap(PlanSummary::name, Function.identity()));
    assertEquals(plans.size(), committed.size(), "steps of " + TABLE + REMEDY);
    CostModel model = CostModel.load();
    for (StepPlan plan : plans) {
      PlanSummary now = PlanSummary.of(plan, model);
      PlanSummary then = committed.get(now.name());
      held(now.name(), "calls", then.calls(), now.calls());
      held(now.name(), "bytes", then.bytes(), now.bytes());
      held(
          now.name(),
          "the share of time in grids of fewer blocks than multiprocessors",
          then.smallShare() + ROUNDING,
          now.smallShare());
    }
  }

  private static <T extends Comparable<T>> void held(String step, String what, T committed, T now) {
    assertTrue(
        now.compareTo(committed) <= 0,
        () -> "%s: %s rose from %s to %s%s".formatted(step, what, committed, now, REMEDY));
  }

  /** Each operation's values are read and written by the launches that carry it out. */
  @Test
  void launchesMoveAtLeastWhatTheirOperationsDo() {
    for (StepPlan plan : plans) {
      assertTrue(
          plan.launches().bytes() >= plan.movedBytes(),
          () ->
              "%s: %d bytes of %d"
                  .formatted(plan.name(), plan.launches().bytes(), plan.movedBytes()));
    }
  }

  @Test
  void aTableIsReadAsItWasWritten(@TempDir Path folder) throws Exception {
    for (StepPlan plan : plans) {
      assertFalse(plan.launches().counts().isEmpty());
      Path file = folder.resolve(plan.name() + ".tsv");
      Files.writeString(file, plan.launches().text());
      assertEquals(plan.launches().counts(), LaunchTable.read(file).counts());
    }
  }
}
