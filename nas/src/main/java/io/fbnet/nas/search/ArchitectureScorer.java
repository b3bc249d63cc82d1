package io.fbnet.nas.search;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.train.Evaluation;

/**
 * Scores architectures with the supernet's weights. Statistics gathered under soft mixtures are
 * wrong for a single path, so each architecture's batch norms are set anew from fixed batches of
 * the w split first; the score comes from the theta split. Test images are read by {@link #test}
 * alone.
 */
public final class ArchitectureScorer {
  private static final int CALIBRATION_BATCHES = 20;
  private static final int CALIBRATION_STREAM = 3;

  private final Backend backend;
  private final Supernet supernet;
  private final Dataset data;
  private final Splits splits;
  private final LatencyTable table;
  private final SearchSettings settings;

  /**
   * One architecture's score.
   *
   * @param architecture what was scored
   * @param latencyMs the table's sum
   * @param accuracy on the theta split, 0 to 1
   * @param crossEntropy on the theta split, the mean over images
   * @param loss crossEntropy * alpha * log(latency in microseconds)^beta
   */
  public record Score(
      Architecture architecture,
      double latencyMs,
      double accuracy,
      double crossEntropy,
      double loss) {}

  /** Scores with the supernet's weights as they are. */
  ArchitectureScorer(
      Backend backend,
      Supernet supernet,
      Dataset data,
      Splits splits,
      LatencyTable table,
      SearchSettings settings) {
    this.backend = backend;
    this.supernet = supernet;
    this.data = data;
    this.splits = splits;
    this.table = table;
    this.settings = settings;
  }

  /** Calibrates and scores an architecture on the theta split. */
  Score score(Architecture architecture) {
    recalibrate(architecture);
    Evaluation quality = evaluate(architecture, data.train(), splits.second());
    double ms = table.latencyOf(architecture);
    double ce = quality.crossEntropy();
    return new Score(architecture, ms, quality.accuracy(), ce, Objective.loss(settings, ce, ms));
  }

  /** Calibrates an architecture and reads the test images, once. */
  Evaluation test(Architecture architecture) {
    recalibrate(architecture);
    int[] all = new int[data.test().size()];
    java.util.Arrays.setAll(all, i -> i);
    return evaluate(architecture, data.test(), all);
  }

  private void recalibrate(Architecture architecture) {
    try (Program program =
            Program.compileFixed(
                backend,
                ArchitectureGraphs.recalibration(
                    architecture, settings.batch(), data.normalisation()),
                supernet.store());
        BatchLoader loader =
            loader(data.train(), splits.first())
                .random(settings.seed(), CALIBRATION_STREAM)
                .shuffle(true)
                .dropLast(true)
                .build()) {
      loader.start(0, 0);
      int batches = Math.min(CALIBRATION_BATCHES, loader.batches());
      for (int i = 0; i < batches; i++) {
        Batch batch = loader.next();
        BatchInputs.writeImages(program, batch);
        // 1/1, 1/2, 1/3, ...: the running statistics become the plain mean over the batches.
        program.set(NetworkBuilder.NORM_MOMENTUM, 1.0 / (i + 1));
        program.run();
      }
      backend.synchronise();
    }
  }

  private BatchLoader.Builder loader(ImageSet images, int[] numbers) {
    return BatchLoader.over(images, numbers).batchSize(settings.batch());
  }

  private Evaluation evaluate(Architecture architecture, ImageSet images, int[] numbers) {
    try (Program program =
            Program.compileFixed(
                backend,
                ArchitectureGraphs.evaluation(architecture, settings.batch(), data.normalisation()),
                supernet.store());
        BatchLoader loader = loader(images, numbers).build()) {
      return Evaluation.of(program, loader);
    }
  }
}
