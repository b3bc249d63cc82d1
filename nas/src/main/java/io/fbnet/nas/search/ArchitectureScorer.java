package io.fbnet.nas.search;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.strategy.Evaluator;
import io.fbnet.nas.strategy.Spent;
import io.fbnet.nas.train.Evaluation;
import java.util.Arrays;

/**
 * Scores architectures with the supernet's weights. Statistics gathered under soft mixtures are
 * wrong for a single path, so each architecture's batch norms are set anew from fixed batches of
 * the w split first; the score comes from the theta split. Test images are read by {@link #test}
 * alone.
 */
public final class ArchitectureScorer implements Evaluator, AutoCloseable {
  static final int CALIBRATION_BATCHES = 20;
  private static final int CALIBRATION_STREAM = 3;

  private final Backend backend;
  private final Dataset data;
  private final SearchSettings settings;
  private final SearchCosts costs;
  private final BatchLoader calibrated;
  private final BatchLoader scored;
  private final Program recalibration;
  private final Program evaluation;

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

  /** Scores with the supernet's weights as they are; nothing is compiled for a network. */
  ArchitectureScorer(
      Backend backend,
      Supernet supernet,
      Dataset data,
      Splits splits,
      SearchSettings settings,
      SearchCosts costs) {
    this.costs = costs;
    this.backend = backend;
    this.data = data;
    this.settings = settings;
    int batch = settings.batch();
    PathGraphs graphs = supernet.pathGraphs();
    calibrated =
        BatchLoader.over(data.train(), splits.first())
            .batchSize(batch)
            .normalisation(data.normalisation())
            .random(settings.seed(), CALIBRATION_STREAM)
            .shuffle(true)
            .dropLast(true)
            .build();
    scored =
        BatchLoader.over(data.train(), splits.second())
            .batchSize(batch)
            .normalisation(data.normalisation())
            .build();
    Program made = null;
    try {
      made = Program.compileFixed(backend, graphs.recalibration(batch), supernet.store());
      evaluation = Program.compileFixed(backend, graphs.evaluation(batch), supernet.store());
    } catch (RuntimeException e) {
      if (made != null) {
        made.close();
      }
      scored.close();
      calibrated.close();
      throw e;
    }
    recalibration = made;
  }

  /** Calibrates and scores a network on the theta split. */
  @Override
  public Judgement judge(int[] choice) {
    long start = System.nanoTime();
    recalibrate(choice);
    Evaluation quality = evaluate(choice, scored);
    double seconds = (System.nanoTime() - start) / 1e9;
    return new Judgement(
        quality.accuracy(), quality.crossEntropy(), new Spent(1, costs.scoring(choice), seconds));
  }

  /** What table and settings make of what was found of an architecture. */
  static Score score(
      Architecture architecture,
      double accuracy,
      double crossEntropy,
      LatencyTable table,
      SearchSettings settings) {
    double ms = table.latencyOf(architecture);
    double loss = Objective.loss(settings, crossEntropy, ms);
    return new Score(architecture, ms, accuracy, crossEntropy, loss);
  }

  /** Calibrates an architecture and reads the test images, once. */
  Evaluation test(Architecture architecture) {
    int[] path = architecture.choice();
    recalibrate(path);
    int[] all = new int[data.test().size()];
    Arrays.setAll(all, i -> i);
    try (BatchLoader loader =
        BatchLoader.over(data.test(), all)
            .batchSize(settings.batch())
            .normalisation(data.normalisation())
            .build()) {
      return evaluate(path, loader);
    }
  }

  private void recalibrate(int[] path) {
    calibrated.start(0, 0);
    int batches = Math.min(CALIBRATION_BATCHES, calibrated.batches());
    for (int i = 0; i < batches; i++) {
      Batch batch = calibrated.next();
      BatchInputs.writeImages(recalibration, batch);
      // 1/1, 1/2, 1/3, ...: the running statistics become the plain mean over the batches.
      recalibration.set(NetworkBuilder.NORM_MOMENTUM, 1.0 / (i + 1));
      recalibration.run(Op.Phase.FIRST, path);
    }
    backend.synchronise();
  }

  private Evaluation evaluate(int[] path, BatchLoader loader) {
    return Evaluation.of(evaluation, () -> evaluation.run(Op.Phase.FIRST, path), loader);
  }

  @Override
  public void close() {
    evaluation.close();
    recalibration.close();
    scored.close();
    calibrated.close();
  }
}
