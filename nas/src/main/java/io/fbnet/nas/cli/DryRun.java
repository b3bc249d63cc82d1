package io.fbnet.nas.cli;

import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.search.Search;
import java.util.Locale;

/** Two steps of each kind on real images, for their memory and time. */
final class DryRun {
  private static final long MIB = 1 << 20;

  private DryRun() {}

  static String of(Search search) {
    StringBuilder text = new StringBuilder();
    double weight = time(search, "w step", search.supernet().weightStep(), false, text);
    double theta = time(search, "theta step", search.supernet().thetaStep(), true, text);
    int batch = search.settings().batch();
    long weightSteps =
        (long) search.settings().epochs() * (search.loop().splits().first().length / batch);
    long thetaSteps = search.loop().totalSteps() - weightSteps;
    double seconds = weightSteps * weight + thetaSteps * theta;
    text.append(
        String.format(
            Locale.ROOT,
            "a checkpoint takes %.1f MiB; %d w steps and %d theta steps take about %s%n",
            (double) search.supernet().checkpointBytes() / MIB,
            weightSteps,
            thetaSteps,
            ProgressLine.duration((long) Math.ceil(seconds))));
    search.supernet().weightStep().slowKernels().forEach(s -> text.append(s).append('\n'));
    return text.toString();
  }

  /** Seconds of the second step. */
  private static double time(
      Search search, String name, Program program, boolean theta, StringBuilder text) {
    double seconds = 0;
    try (BatchLoader loader =
        BatchLoader.over(search.data().train(), search.loop().splits().first())
            .batchSize(search.settings().batch())
            .dropLast(true)
            .build()) {
      loader.start(0, 0);
      Batch batch = loader.next();
      for (int i = 0; i < 2; i++) {
        BatchInputs.write(program, batch);
        program.set("seed", search.settings().seed());
        program.set("step", (long) i);
        program.set("tau", search.settings().tauFirst());
        program.set("rate", 1e-6);
        if (theta) {
          program.set("count", i + 1.0);
        } else {
          program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
        }
        long start = System.nanoTime();
        program.run();
        search.backend().synchronise();
        seconds = (System.nanoTime() - start) / 1e9;
      }
    }
    text.append(
        String.format(
            Locale.ROOT,
            "%s: %.1f MiB planned (%.1f without sharing), %.1f MiB beside it, %.3f s%n",
            name,
            (double) program.plannedBytes() / MIB,
            (double) program.naiveBytes() / MIB,
            (double) program.workspaceBytes() / MIB,
            seconds));
    return seconds;
  }
}
