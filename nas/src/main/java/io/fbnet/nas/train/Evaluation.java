package io.fbnet.nas.train;

import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.network.BatchInputs;

/**
 * A network's quality over a set of labelled images.
 *
 * @param accuracy the share whose label has the largest logit, 0 to 1
 * @param crossEntropy the mean over images, natural logarithm
 */
public record Evaluation(double accuracy, double crossEntropy) {
  /**
   * Runs an evaluation program over a loader's images; padding does not count.
   *
   * @param program of {@link io.fbnet.nas.network.ArchitectureGraphs#evaluation}
   * @param loader of as many images a batch as the program takes, not empty; its first epoch is
   *     read
   * @return the quality
   */
  public static Evaluation of(Program program, BatchLoader loader) {
    return of(program, program::run, loader);
  }

  /**
   * The same for a program that is told how to run.
   *
   * @param program with the outputs of {@link io.fbnet.nas.network.ArchitectureGraphs#evaluation}
   * @param run runs it on the batch that was written
   * @param loader of as many images a batch as the program takes, not empty; its first epoch is
   *     read
   * @return the quality
   */
  public static Evaluation of(Program program, Runnable run, BatchLoader loader) {
    loader.start(0, 0);
    int right = 0;
    int count = 0;
    double ce = 0;
    for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
      BatchInputs.write(program, batch);
      run.run();
      float[][] results = program.readLater("rank", "ce").await();
      for (int i = 0; i < batch.count(); i++) {
        right += results[0][i] == 0 ? 1 : 0;
        ce += results[1][i];
      }
      count += batch.count();
    }
    return new Evaluation((double) right / count, ce / count);
  }
}
