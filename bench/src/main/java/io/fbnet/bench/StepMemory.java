package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.program.Program;
import java.util.Locale;

/**
 * What steps plan to hold, as Markdown: {@code java -cp benchmarks.jar io.fbnet.bench.StepMemory
 * cifar:32,fashion:64}.
 */
public final class StepMemory {
  private static final double MIB = 1 << 20;

  private StepMemory() {}

  /** Prints a row for each space and batch, step, and memory. */
  public static void main(String[] arguments) {
    try (Backend backend = CpuBackend.open(2)) {
      double every = 0;
      for (StepSetting setting : StepSetting.parse(arguments[0])) {
        for (String memory : new String[] {"normal", "lean"}) {
          boolean lean = memory.equals("lean");
          try (SupernetFixture fixture =
              new SupernetFixture(backend, setting.space(), setting.batch(), false, lean)) {
            Program program = fixture.program;
            // What is made again in a lean step is no value of the unfused graph.
            every = lean ? every : program.naiveBytes();
            System.out.printf(
                Locale.ROOT,
                "| %s:%d | w | %s | %.0f | %.0f | %.3f | %.0f |%n",
                setting.space().name(),
                setting.batch(),
                memory,
                program.plannedBytes() / MIB,
                every / MIB,
                program.plannedBytes() / every,
                program.workspaceBytes() / MIB);
          }
        }
      }
    }
  }
}
