package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import java.util.Arrays;
import java.util.Locale;

/**
 * The theta step, the lean w step and the w step on bf16 images as shares of the w step, as
 * Markdown: {@code java -cp benchmarks.jar io.fbnet.bench.StepShares cifar:32,fashion:64 2}, with
 * the number of threads. The four take turns in one process and a share is taken within each turn,
 * so that a host whose speed wanders cannot favour one.
 */
public final class StepShares {
  private static final int WARM_UP = 8;
  private static final int TURNS = 16;

  private StepShares() {}

  /** Prints a row for each space and batch. */
  public static void main(String[] arguments) {
    int threads = Integer.parseInt(arguments[1]);
    try (Backend backend = CpuBackend.open(threads);
        CpuBackend narrow = CpuBackend.open(threads, Precision.BF16)) {
      System.out.printf(
          Locale.ROOT,
          "| space:batch | theta / w | lean w / w | bf16 w / w, multiplied as %s |%n"
              + "| --- | --- | --- | --- |%n",
          narrow.multipliesBf16() ? "bf16" : "f32");
      for (StepSetting setting : StepSetting.parse(arguments[0])) {
        try (SupernetFixture w = fixture(backend, setting, false, false);
            SupernetFixture theta = fixture(backend, setting, true, false);
            SupernetFixture lean = fixture(backend, setting, false, true);
            SupernetFixture bf16 = fixture(narrow, setting, false, false)) {
          double[] ofTheta = new double[TURNS];
          double[] ofLean = new double[TURNS];
          double[] ofBf16 = new double[TURNS];
          for (int turn = -WARM_UP; turn < TURNS; turn++) {
            double whole = time(w);
            double thetas = time(theta) / whole;
            double leans = time(lean) / whole;
            double bf16s = time(bf16) / whole;
            if (turn >= 0) {
              ofTheta[turn] = thetas;
              ofLean[turn] = leans;
              ofBf16[turn] = bf16s;
            }
          }
          System.out.printf(
              Locale.ROOT,
              "| %s:%d | %s | %s | %s |%n",
              setting.space().name(),
              setting.batch(),
              quartiles(ofTheta),
              quartiles(ofLean),
              quartiles(ofBf16));
        }
      }
    }
  }

  private static SupernetFixture fixture(
      Backend backend, StepSetting setting, boolean theta, boolean lean) {
    return new SupernetFixture(backend, setting.space(), setting.batch(), theta, lean);
  }

  private static double time(SupernetFixture fixture) {
    long start = System.nanoTime();
    fixture.program.run();
    return System.nanoTime() - start;
  }

  private static String quartiles(double[] values) {
    Arrays.sort(values);
    return String.format(
        Locale.ROOT,
        "%.2f (%.2f to %.2f)",
        values[TURNS / 2],
        values[TURNS / 4],
        values[3 * TURNS / 4]);
  }
}
