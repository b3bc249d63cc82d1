package io.fbnet.bench.gpu;

import io.fbnet.bench.StepSetting;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What a step will have the device do, known from compiling it alone.
 *
 * @param name space, batch, precision and step
 * @param launches of the step
 * @param movedBytes that it must move at least: what each operation reads and writes, once
 * @param arenaBytes that its intermediates share
 */
record StepPlan(String name, LaunchTable launches, long movedBytes, long arenaBytes) {
  static String name(StepSetting setting, Precision precision, boolean theta) {
    return String.format(
        Locale.ROOT,
        "%s-%d-%s-%s",
        setting.space().name(),
        setting.batch(),
        precision.name().toLowerCase(Locale.ROOT),
        theta ? "theta" : "w");
  }

  /** The plans of the w step and the theta step. */
  static List<StepPlan> of(CudaBackend backend, StepSetting setting, Precision precision) {
    List<StepPlan> plans = new ArrayList<>();
    try (StepFixture fixture = new StepFixture(backend, setting)) {
      for (boolean theta : new boolean[] {false, true}) {
        fixture.compile(theta, StepSetting.TAU);
        plans.add(
            new StepPlan(
                name(setting, precision, theta),
                LaunchTable.of(fixture.program.launches()),
                fixture.program.movedBytes(),
                fixture.program.plannedBytes()));
      }
    }
    return plans;
  }
}
