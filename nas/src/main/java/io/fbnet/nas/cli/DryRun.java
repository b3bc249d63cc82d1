package io.fbnet.nas.cli;

import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.search.PathSampler;
import io.fbnet.nas.search.PathSteps;
import io.fbnet.nas.search.Search;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.ObjLongConsumer;

/** Two steps of each kind on real images, for their memory and time. */
final class DryRun {
  /** Batches by which the host's time for one is measured. */
  private static final int BATCHES = 8;

  private static final long MIB = 1 << 20;
  private static final int STEPS_TIMED = 7;

  /** So small that nothing can diverge. */
  private static final double SMALL_RATE = 1e-6;

  private DryRun() {}

  /** Seconds of a w step of the mixture, the median of a few. */
  static double secondsOfAStep(Search search) {
    Program weights = search.supernet().weightStep();
    ObjLongConsumer<Batch> step = mixture(search, weights, false);
    double[] seconds = seconds(search, step, STEPS_TIMED + 1);
    Arrays.sort(seconds, 1, seconds.length);
    return seconds[1 + STEPS_TIMED / 2];
  }

  static String of(Search search) {
    StringBuilder text = new StringBuilder();
    boolean trainsTheta = search.strategy().trainsTheta();
    boolean byPaths = search.strategy().sampling().isPresent();
    Program weights = byPaths ? search.supernet().pathStep() : search.supernet().weightStep();
    double weight =
        byPaths
            ? time(search, "w step by paths", weights, paths(search, weights), text)
            : time(search, "w step", weights, mixture(search, weights, false), text);
    double theta = 0;
    if (trainsTheta) {
      Program step = search.supernet().thetaStep();
      theta = time(search, "theta step", step, mixture(search, step, true), text);
    }
    long weightSteps =
        (long) search.settings().epochs()
            * search.settings().weightBatches(search.loop().splits().first().length);
    long thetaSteps = search.loop().totalSteps() - weightSteps;
    double images = secondsOfABatch(search);
    if (images > weight) {
      text.append(
          String.format(
              Locale.ROOT,
              "the host takes %.3f s to read and augment a batch, longer than a step, which waits"
                  + " for it: ask for less augmentation, or give the search more processors%n",
              images));
    }
    double seconds = weightSteps * Math.max(weight, images) + thetaSteps * Math.max(theta, images);
    text.append(
        String.format(
            Locale.ROOT,
            "a checkpoint takes %.1f MiB; %d w steps and %d theta steps take about %s%n",
            (double) search.supernet().checkpointBytes() / MIB,
            weightSteps,
            thetaSteps,
            ProgressLine.duration((long) Math.ceil(seconds))));
    weights.slowKernels().forEach(s -> text.append(s).append('\n'));
    return text.toString();
  }

  /** A step of the mixture by its number and a batch. */
  private static ObjLongConsumer<Batch> mixture(Search search, Program program, boolean theta) {
    return (batch, step) -> {
      BatchInputs.write(program, batch);
      program.set("seed", search.settings().seed());
      program.set("step", step);
      program.set("tau", search.settings().tauFirst());
      program.set("rate", SMALL_RATE);
      if (theta) {
        program.set("count", step + 1.0);
      } else {
        program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
      }
      program.run();
    };
  }

  private static ObjLongConsumer<Batch> paths(Search search, Program program) {
    PathSteps steps = new PathSteps(program, search.table()::latencyOf);
    PathSampler sampler =
        new PathSampler(
            search.strategy().sampling().orElseThrow(), search.space(), search.settings().seed());
    return (batch, step) ->
        steps.run(batch, sampler.paths(search.supernet().theta(), step), SMALL_RATE).await();
  }

  /** Seconds of the second step. */
  private static double time(
      Search search,
      String name,
      Program program,
      ObjLongConsumer<Batch> step,
      StringBuilder text) {
    double seconds = seconds(search, step, 2)[1];
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

  /** Seconds in which the host makes a batch beside the steps. */
  private static double secondsOfABatch(Search search) {
    try (BatchLoader loader = loader(search)) {
      int count = Math.min(BATCHES, loader.batches());
      loader.start(0, 0);
      long start = System.nanoTime();
      for (int i = 0; i < count; i++) {
        loader.next();
      }
      return (System.nanoTime() - start) / 1e9 / count;
    }
  }

  private static BatchLoader loader(Search search) {
    return BatchLoader.over(search.data().train(), search.loop().splits().first())
        .batchSize(search.settings().batch())
        .augmentation(search.settings().augmentation())
        .normalisation(search.data().normalisation())
        .balance(search.settings().balance())
        .shuffle(true)
        .dropLast(true)
        .build();
  }

  /** Seconds of each step, on one batch. */
  private static double[] seconds(Search search, ObjLongConsumer<Batch> step, int count) {
    double[] seconds = new double[count];
    try (BatchLoader loader = loader(search)) {
      loader.start(0, 0);
      Batch batch = loader.next();
      for (int i = 0; i < count; i++) {
        long start = System.nanoTime();
        step.accept(batch, i);
        search.backend().synchronise();
        seconds[i] = (System.nanoTime() - start) / 1e9;
      }
    }
    return seconds;
  }
}
