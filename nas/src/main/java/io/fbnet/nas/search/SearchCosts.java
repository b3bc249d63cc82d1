package io.fbnet.nas.search;

import io.fbnet.engine.graph.Graph;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.network.MultiplyAdds;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.network.SupernetGraphs;
import io.fbnet.nas.network.UnrolledGraphs;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;

/**
 * The multiply-adds of what a search does, every forward and backward pass counted: steps of the
 * mixture and of paths, the recalibration of a network's norms, and its scoring. All follow from
 * the graphs, so they are known before anything has run.
 */
public final class SearchCosts {
  /** Steps whose mean stands for all of them when a search is planned. */
  private static final int STEPS_LOOKED_AT = 1000;

  private static final int MOST_EPOCHS = 1_000_000;

  private final SearchSpace space;
  private final SearchSettings settings;
  private final SearchStrategy strategy;
  private final int weightImages;
  private final int thetaImages;
  private final Normalisation normalisation;
  private MultiplyAdds weightStep;
  private MultiplyAdds thetaStep;
  private MultiplyAdds path;
  private MultiplyAdds recalibration;
  private MultiplyAdds evaluation;

  /**
   * Counts for a search.
   *
   * @param data images of the space's size
   * @param space to search
   * @param settings of the search
   * @param strategy how it searches
   */
  public SearchCosts(
      Dataset data, SearchSpace space, SearchSettings settings, SearchStrategy strategy) {
    Splits splits =
        Splits.split(data.train(), settings.weightShare(), settings.seed(), settings.trainImages());
    normalisation = data.normalisation();
    this.space = space;
    this.settings = settings;
    this.strategy = strategy;
    weightImages = splits.first().length;
    thetaImages = splits.second().length;
  }

  private SupernetGraphs mixture() {
    // Latencies and limits take no multiply-adds.
    double[][] none = new double[space.layerCount()][space.blocks().size()];
    return new SupernetGraphs(
        space, normalisation, settings.loss(), 0, none, List.of(), settings.lean());
  }

  private PathGraphs paths() {
    return new PathGraphs(space, normalisation, true);
  }

  /** {@return what a w step of the mixture takes} */
  public long weightStep() {
    if (weightStep == null) {
      weightStep = MultiplyAdds.of(mixture().weightStep(settings.batch()));
    }
    return weightStep.count();
  }

  /** Theta steps need no gradients of weights, but those that look ahead. */
  private MultiplyAdds thetaSteps() {
    if (thetaStep == null) {
      int batch = settings.batch();
      thetaStep =
          switch (strategy.thetaStep()) {
            case MIXTURE -> MultiplyAdds.of(mixture().thetaStep(batch));
            case UNROLLED -> {
              UnrolledGraphs unrolled = new UnrolledGraphs(mixture());
              yield MultiplyAdds.of(unrolled.thetaGradients(batch))
                  .plus(UnrolledGraphs.LOOKS, MultiplyAdds.of(unrolled.weightGradients(batch)));
            }
            case PATH -> MultiplyAdds.of(mixture().withSetsOfBlocks().thetaPathStep(batch));
          };
    }
    return thetaStep;
  }

  /** {@return what a theta step takes, on average over paths where it is by one} */
  public double thetaStep() {
    return thetaSteps().mean(space.allowed());
  }

  /**
   * {@return what a theta step by a path takes}
   *
   * @param choice one candidate a layer
   */
  public long thetaPath(int[] choice) {
    return thetaSteps().of(choice);
  }

  /**
   * {@return what the forward and backward pass of a path through a batch takes, the second forward
   * pass of lean steps included}
   *
   * @param choice one candidate a layer
   */
  public long path(int[] choice) {
    if (path == null) {
      path = MultiplyAdds.of(paths().training(settings.batch(), 0, 0, true));
    }
    return path.of(choice);
  }

  /** Spares building a graph a second time: one of so many equal parts of a step. */
  void weightStepIs(Graph graph, int parts) {
    weightStep = MultiplyAdds.of(graph).times(parts);
  }

  void thetaStepIs(Graph graph, int parts) {
    thetaStep = MultiplyAdds.of(graph).times(parts);
  }

  void pathIs(Graph graph, int parts) {
    path = MultiplyAdds.of(graph).times(parts);
  }

  private MultiplyAdds recalibration() {
    if (recalibration == null) {
      recalibration = MultiplyAdds.of(paths().recalibration(settings.batch()));
    }
    return recalibration;
  }

  private MultiplyAdds evaluation() {
    if (evaluation == null) {
      evaluation = MultiplyAdds.of(paths().evaluation(settings.batch()));
    }
    return evaluation;
  }

  private int calibrationBatches() {
    return Math.min(ArchitectureScorer.CALIBRATION_BATCHES, weightImages / settings.batch());
  }

  private int scoredBatches() {
    return Math.ceilDiv(thetaImages, settings.batch());
  }

  /**
   * {@return what it takes to score a network with the supernet's weights}
   *
   * @param choice one candidate a layer
   */
  public long scoring(int[] choice) {
    return calibrationBatches() * recalibration().of(choice)
        + scoredBatches() * evaluation().of(choice);
  }

  /** What a w step of the strategy takes, the mean over the first ones. */
  private double meanWeightStep() {
    if (strategy.sampling().isEmpty()) {
      return weightStep();
    }
    PathSampler sampler =
        new PathSampler(strategy.sampling().orElseThrow(), space, settings.seed());
    Theta uniform = Theta.uniform(space);
    double sum = 0;
    for (long step = 0; step < STEPS_LOOKED_AT; step++) {
      for (int[] taken : sampler.paths(uniform, step)) {
        sum += path(taken);
      }
    }
    return sum / STEPS_LOOKED_AT;
  }

  /**
   * {@return the same settings with as many epochs as a cost allows, or one more of fewer steps
   * where that uses more of it up} Rates and temperatures go their whole way in them. Warm-up has
   * the same share of the epochs. Paths that are drawn from theta, and networks that are scored,
   * count as the mean of uniform ones: what was spent in the end the run says itself.
   *
   * @param macs multiply-adds of the whole search, scoring included
   * @param scored how many networks are scored at its end
   * @throws UserException (exit code 2) where they do not suffice for a step of each kind
   */
  public SearchSettings within(double macs, int scored) {
    Supplier<Double> scoring =
        () ->
            calibrationBatches() * recalibration().mean(space.allowed())
                + scoredBatches() * evaluation().mean(space.allowed());
    double rest = macs - scored * scoring.get();
    double weight = meanWeightStep();
    double theta = strategy.trainsTheta() ? thetaStep() : 0;
    int full = settings.withEpochs(1, 0, 0).weightBatches(weightImages);
    int epochs = 1;
    while (epochs < MOST_EPOCHS && training(epochs, full, weight, theta) < rest) {
      epochs++;
    }
    int low = 0;
    int high = full;
    while (low < high) {
      int middle = (low + high + 1) / 2;
      if (training(epochs, middle, weight, theta) <= rest) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    if (low == 0 && epochs == 1) {
      throw UserException.usage(
          "a cost of %s multiply-adds does not suffice: scoring %d networks takes %s, and a step of"
              + " each kind %s; give more, or score fewer",
          text(macs), scored, text(macs - rest), text(training(1, 1, weight, theta)));
    }
    boolean fewer =
        epochs > 1
            && (low == 0
                || training(epochs - 1, full, weight, theta)
                    >= training(epochs, low, weight, theta));
    if (fewer) {
      epochs--;
      low = full;
    }
    return settings.withEpochs(epochs, warmup(epochs), low == full ? 0 : low);
  }

  /** As large a share of the epochs as before, and never all. */
  private int warmup(int epochs) {
    long share = Math.round((double) epochs * settings.warmupEpochs() / settings.epochs());
    return (int) Math.min(epochs - 1, share);
  }

  private double training(int epochs, int batches, double weight, double theta) {
    SearchSettings planned = settings.withEpochs(epochs, warmup(epochs), batches);
    double steps = (double) epochs * planned.weightBatches(weightImages);
    double thetaSteps =
        (double) (epochs - planned.warmupEpochs())
            * Turns.of(planned, strategy, weightImages, thetaImages).thetaSteps();
    return steps * weight + thetaSteps * theta;
  }

  /**
   * {@return multiply-adds for people, such as 1.25T}
   *
   * @param macs how many
   */
  public static String text(double macs) {
    String[] units = {"", "k", "M", "G", "T", "P", "E"};
    int unit = 0;
    double value = macs;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit++;
    }
    return String.format(Locale.ROOT, "%.4g%s", value, units[unit]);
  }
}
