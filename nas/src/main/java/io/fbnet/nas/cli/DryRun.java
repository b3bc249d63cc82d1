package io.fbnet.nas.cli;

import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.network.NetworkBuilder;
import java.util.Locale;

/** Two steps of each kind on real images, for their memory and time. */
final class DryRun {
  private static final long MIB = 1 << 20;

  private DryRun() {}

  static String of(SearchSession session) {
    StringBuilder text = new StringBuilder();
    double weight = time(session, "w step", session.supernet.weightStep(), false, text);
    double theta = time(session, "theta step", session.supernet.thetaStep(), true, text);
    int batch = session.settings.batch();
    long weightSteps =
        (long) session.settings.epochs() * (session.loop.splits().first().length / batch);
    long thetaSteps = session.loop.totalSteps() - weightSteps;
    double seconds = weightSteps * weight + thetaSteps * theta;
    text.append(
        String.format(
            Locale.ROOT,
            "a checkpoint takes %.1f MiB; %d w steps and %d theta steps take about %s%n",
            (double) session.supernet.checkpointBytes() / MIB,
            weightSteps,
            thetaSteps,
            ProgressLine.duration((long) Math.ceil(seconds))));
    session.supernet.weightStep().slowKernels().forEach(s -> text.append(s).append('\n'));
    return text.toString();
  }

  /** Seconds of the second step. */
  private static double time(
      SearchSession session, String name, Program program, boolean theta, StringBuilder text) {
    double seconds = 0;
    try (BatchLoader loader =
        BatchLoader.over(session.data.train(), session.loop.splits().first())
            .batchSize(session.settings.batch())
            .normalisation(session.data.mean(), session.data.std())
            .dropLast(true)
            .build()) {
      loader.start(0, 0);
      Batch batch = loader.next();
      for (int i = 0; i < 2; i++) {
        program.write("images", batch.images());
        program.write("labels", batch.labels());
        program.set("seed", session.settings.seed());
        program.set("step", (long) i);
        program.set("tau", session.settings.tauFirst());
        program.set("rate", 1e-6);
        if (theta) {
          program.set("count", i + 1.0);
        } else {
          program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
        }
        long start = System.nanoTime();
        program.run();
        session.backend.synchronise();
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
