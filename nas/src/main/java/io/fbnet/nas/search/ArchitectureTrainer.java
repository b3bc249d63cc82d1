package io.fbnet.nas.search;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.model.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.space.Architecture;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalDouble;

/** Trains one architecture from scratch: SGD with momentum, cosine decay, cross-entropy. */
public final class ArchitectureTrainer implements AutoCloseable {
  private static final double NORM_MOMENTUM = 0.1;
  private static final int TRAINING_STREAM = 4;

  private final Backend backend;
  private final Architecture architecture;
  private final Recipe recipe;
  private final Dataset data;
  private final ParameterStore store;
  private final Program step;

  /**
   * How to train.
   *
   * @param seed of weights, order and augmentation
   * @param epochs over the images
   * @param batch images a step
   * @param images how many training images to use, 0 for all
   * @param rate at the start; cosine to 0
   * @param momentum of SGD
   * @param weightDecay batch norms and biases spared
   * @param augmentation of training images
   */
  public record Recipe(
      long seed,
      int epochs,
      int batch,
      int images,
      double rate,
      double momentum,
      double weightDecay,
      Augmentation augmentation) {}

  /** Told after every step. */
  public interface Progress {
    /** {@code done} of {@code total} steps, with this step's loss. */
    void at(long done, long total, int epoch, double loss);
  }

  /** Compiles the training step. */
  public ArchitectureTrainer(
      Backend backend, Architecture architecture, Recipe recipe, Dataset data) {
    this.backend = backend;
    this.architecture = architecture;
    this.recipe = recipe;
    this.data = data;
    Graph graph =
        ArchitectureGraphs.training(
            architecture, recipe.batch(), recipe.momentum(), recipe.weightDecay());
    store = new ParameterStore(backend, graph.parameters());
    store.initialise(recipe.seed());
    step = Program.compile(backend, graph, store);
  }

  /**
   * Trains on the data set's training images.
   *
   * @throws UserException exit code 6 where a loss or gradient is not finite
   */
  public void train(Progress progress) {
    int[] images = Splits.subset(data.train(), recipe.images(), recipe.seed());
    try (BatchLoader loader =
        BatchLoader.over(data.train(), images)
            .batchSize(recipe.batch())
            .augmentation(recipe.augmentation())
            .normalisation(data.mean(), data.std())
            .random(recipe.seed(), TRAINING_STREAM)
            .shuffle(true)
            .dropLast(true)
            .build()) {
      long total = (long) recipe.epochs() * loader.batches();
      long done = 0;
      Readback before = null;
      for (int epoch = 0; epoch < recipe.epochs(); epoch++) {
        loader.start(epoch, 0);
        for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
          step.write("images", batch.images());
          step.write("labels", batch.labels());
          step.set("rate", 0.5 * recipe.rate() * (1 + Math.cos(Math.PI * done / total)));
          step.set(NetworkBuilder.NORM_MOMENTUM, NORM_MOMENTUM);
          step.run();
          Readback results = step.readLater("loss", "finite");
          // A GPU already works on this step while the host looks at the one before.
          finish(before, done, total, progress);
          before = results;
          done++;
        }
      }
      finish(before, done, total, progress);
    }
  }

  private void finish(Readback results, long done, long total, Progress progress) {
    if (results == null) {
      return;
    }
    float[][] values = results.await();
    int epoch = (int) ((done - 1) * recipe.epochs() / total);
    if (values[1][0] != 1) {
      throw new UserException(
          ExitCode.DIVERGED,
          "training diverged at step %d, in epoch %d: lower --rate".formatted(done, epoch + 1));
    }
    progress.at(done, total, epoch, values[0][0]);
  }

  /** The share of a set's images that the trained network gets right, by running statistics. */
  public double accuracy(ImageSet images) {
    int[] all = new int[images.size()];
    Arrays.setAll(all, i -> i);
    try (Program program =
            Program.compileFixed(
                backend, ArchitectureGraphs.evaluation(architecture, recipe.batch()), store);
        BatchLoader loader =
            BatchLoader.over(images, all)
                .batchSize(recipe.batch())
                .normalisation(data.mean(), data.std())
                .build()) {
      return Evaluation.of(program, loader).accuracy();
    }
  }

  /**
   * The network as it is now.
   *
   * @param testAccuracy if the test images have been read
   */
  public TrainedNetwork network(OptionalDouble testAccuracy) {
    return new TrainedNetwork(
        architecture,
        TrainedNetwork.tensors(architecture, store),
        Normalisation.of(data.mean(), data.std()),
        data.classes(),
        data.name(),
        Optional.empty(),
        testAccuracy);
  }

  @Override
  public void close() {
    step.close();
    store.close();
  }
}
