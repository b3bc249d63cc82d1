package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.space.SearchSpace;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * The flags that decide a search. Those without a value take the preset's; {@link #resolve} fills
 * them in, so that the run folder's configuration names every one.
 */
final class SearchFlags {
  /** Whether the batch shares one draw of noise. */
  enum Noise {
    BATCH,
    IMAGE
  }

  /** What a w step minimises. */
  enum WeightLoss {
    PRODUCT,
    CE
  }

  /** What a step keeps for its gradients. */
  enum Memory {
    NORMAL,
    LEAN
  }

  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      description =
          "The search space: fashion, cifar, imagenet, cifar-se, imagenet-se, or a YAML file."
              + " Default: the one that --lut was measured for, else fashion.")
  String space;

  @Mixin SpaceFlags spaceFlags;
  @Mixin DataFlags data;
  @Mixin DeviceFlags device;
  @Mixin BudgetFlags budget;
  @Mixin RankFlags ranks;

  @Option(
      names = "--seed",
      defaultValue = "1",
      description = "Of weights, noise, splits, order and augmentation.")
  long seed;

  @Option(names = "--epochs", description = "Paper: 90; space fashion: 8.")
  Integer epochs;

  @Option(
      names = "--warmup-epochs",
      description = "Epochs of w alone, before theta starts. Paper: 10; space fashion: 2.")
  Integer warmupEpochs;

  @Option(
      names = "--epoch-batches",
      paramLabel = "K",
      defaultValue = "0",
      description =
          "Ends each epoch after K steps of w, and theta's after as large a share; the images left"
              + " out are others each time. 0: as many as the images make.")
  int epochBatches;

  @Option(
      names = "--cost",
      paramLabel = "AMOUNT",
      description =
          "What the search may take, scoring included, instead of --epochs, --warmup-epochs and"
              + " --epoch-batches, which follow from it: multiply-adds of all passes, forward and"
              + " backward, such as 3.5T; or what the mixture takes for so many images, such as"
              + " 90kimages, or does on this device in a time, such as 20min.")
  String cost;

  @Option(names = "--batch", description = "Images a step. Paper: 192; space fashion: 64.")
  Integer batch;

  @Option(
      names = "--train-images",
      description = "How many training images to use; 0: all. Paper: 0; space fashion: 12000.")
  Integer trainImages;

  @Option(
      names = "--weight-share",
      paramLabel = "SHARE",
      defaultValue = "0.8",
      description = "The share of these images that trains w; the rest trains theta.")
  double weightShare;

  @Option(
      names = "--rate",
      description = "Learning rate of w at the start, cosine to 0. Paper: 0.1; space fashion: 0.1.")
  Double rate;

  @Option(names = "--momentum", defaultValue = "0.9", description = "Of SGD on w.")
  double momentum;

  @Option(
      names = "--weight-decay",
      defaultValue = "1e-4",
      description = "Of w; batch norms are spared.")
  double weightDecay;

  @Option(
      names = "--theta-rate",
      description = "Learning rate of Adam on theta at the start. Paper: 0.01; space fashion: 0.1.")
  Double thetaRate;

  @Option(
      names = "--theta-schedule",
      defaultValue = "constant",
      description =
          "How it goes on: constant, as in the paper, or cosine, to 0 over theta's steps.")
  SearchSettings.ThetaSchedule thetaSchedule;

  @Option(
      names = "--theta-weight-decay",
      defaultValue = "5e-4",
      description = "Of theta; 0 for none. It pulls theta back to equal chances.")
  double thetaWeightDecay;

  @Option(
      names = "--alpha",
      description =
          "Factor of the latency term, alpha * log(LAT)^beta. Adam cancels a constant factor, so"
              + " alpha barely moves theta; beta does. Default: the paper's 0.2.")
  Double alpha;

  @Option(
      names = "--beta",
      description = "Exponent of log(LAT), LAT in microseconds. Default: the paper's 0.6.")
  Double beta;

  @Option(
      names = "--tau",
      defaultValue = "5.0",
      description = "Temperature of the Gumbel-softmax until theta starts.")
  double tau;

  @Option(
      names = "--tau-end",
      description =
          "Temperature of the last step, to which it falls from theta's first step on; 0: by a"
              + " factor of 0.956 an epoch, as in the paper. Paper: 0;"
              + " space fashion: 0.2.")
  Double tauEnd;

  @Option(
      names = "--noise",
      defaultValue = "batch",
      description = "One draw of Gumbel noise for the whole batch or for each image.")
  Noise noise;

  @Option(
      names = "--hard",
      description =
          "Takes the largest of each sample alone (one-hot), with the gradient of the soft sample"
              + " (straight-through); saves neither time nor memory.")
  boolean hard;

  @Option(
      names = "--w-loss",
      defaultValue = "product",
      description = "What w minimises: the product with the latency term, or ce alone.")
  WeightLoss weightLoss;

  @Option(
      names = "--memory",
      defaultValue = "normal",
      description =
          "lean: computes each candidate twice a step instead of keeping it; the same result in"
              + " less memory and more time.")
  Memory memory;

  @Mixin AugmentationFlags augmentation;
  @Mixin ClassFlags classes;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description =
          "A latency table, built in or a JSON file. Default: measured on this device, and kept in"
              + " the user's cache.")
  String lut;

  @Mixin StrategyFlags strategy;

  @Option(
      names = "--samples",
      defaultValue = "6",
      description =
          "Architectures to score at the end: theta's most likely one, the others drawn from theta,"
              + " none twice.")
  int samples;

  /** Fills in what the preset says and checks ranges. */
  SearchSpace resolve() {
    space = space != null ? space : lut == null ? "fashion" : TableSource.spaceOf(lut);
    SearchSpace loaded = spaceFlags.apply(SearchSpace.load(space));
    // A run may be continued from another folder.
    space = RunConfig.anchored(space, SearchSpace.builtIns());
    lut = RunConfig.anchored(lut, LatencyTable.builtIns());
    return resolve(loaded);
  }

  private boolean resolved;

  /** The same for a space that is known, with all its changes. */
  SearchSpace resolve(SearchSpace loaded) {
    boolean supernet = strategy.evaluator().kind() == EvaluatorChoice.Kind.SUPERNET;
    if (!supernet && !resolved && (epochs != null || warmupEpochs != null || epochBatches != 0)) {
      throw UserException.usage(
          "--epochs, --warmup-epochs and --epoch-batches are of a supernet's training, and"
              + " --evaluator %s trains none: leave them out",
          strategy.evaluator().text());
    }
    if (cost != null && !resolved) {
      var _ = CostAmount.parse("--cost", cost);
      if (epochs != null || warmupEpochs != null || epochBatches != 0) {
        throw UserException.usage(
            "--cost decides how many epochs there are: leave out --epochs, --warmup-epochs and"
                + " --epoch-batches, or --cost");
      }
    }
    resolved = true;
    budget.check();
    strategy.resolve();
    if (budget.limitsLatency() && (alpha != null || beta != null)) {
      throw UserException.usage(
          "%s has a loss of its own: leave out --alpha and --beta, or the limit",
          budget.targetLatency != null ? "--target-latency" : "--max-latency");
    }
    Preset preset = Preset.of(loaded);
    data.resolve(preset.data());
    device.threads = device.threads(ranks.ranks());
    epochs = epochs == null ? (Integer) preset.epochs() : epochs;
    warmupEpochs = warmupEpochs == null ? (Integer) preset.warmupEpochs() : warmupEpochs;
    batch = batch == null ? (Integer) preset.batch() : batch;
    trainImages = trainImages == null ? (Integer) preset.trainImages() : trainImages;
    rate = rate == null ? (Double) preset.rate() : rate;
    thetaRate = thetaRate == null ? (Double) preset.thetaRate() : thetaRate;
    tauEnd = tauEnd == null ? (Double) preset.tauEnd() : tauEnd;
    if (!budget.limitsLatency()) {
      alpha = alpha == null ? (Double) preset.alpha() : alpha;
      beta = beta == null ? (Double) preset.beta() : beta;
      Ranges.positive("--alpha", alpha);
      Ranges.notNegative("--beta", beta);
    }
    Ranges.epochs("--epochs", epochs);
    Ranges.atLeast("--warmup-epochs", warmupEpochs, 0);
    Ranges.batch(batch, 2);
    Ranges.atLeast("--epoch-batches", epochBatches, 0);
    Ranges.atLeast("--train-images", trainImages, 0);
    // Six digits, so that a training can name the rest in decimal.
    if (!(weightShare >= 1e-6 && weightShare <= 1 - 1e-6)) {
      throw UserException.usage("--weight-share must lie between 0 and 1, but is %s", weightShare);
    }
    var _ = classes.balance();
    Ranges.architectures("--samples", samples);
    augmentation.check();
    Ranges.positive("--rate", rate);
    Ranges.positive("--theta-rate", thetaRate);
    Ranges.temperature("--tau", tau);
    if (tauEnd != 0) {
      Ranges.temperature("--tau-end", tauEnd);
    }
    Ranges.notNegative("--momentum", momentum);
    Ranges.notNegative("--weight-decay", weightDecay);
    Ranges.notNegative("--theta-weight-decay", thetaWeightDecay);
    if (warmupEpochs >= epochs) {
      throw UserException.usage(
          "--warmup-epochs %d leaves theta untrained in --epochs %d: lower the one or raise the"
              + " other",
          warmupEpochs, epochs);
    }
    return loaded;
  }

  /** The settings that the resolved flags make. */
  SearchSettings settings() {
    // A limited latency has a loss of its own, so alpha and beta are not resolved then.
    LossSettings loss =
        new LossSettings(
            alpha == null ? LossSettings.PAPER.alpha() : alpha,
            beta == null ? LossSettings.PAPER.beta() : beta,
            weightLoss == WeightLoss.CE,
            noise == Noise.IMAGE,
            hard,
            momentum,
            weightDecay,
            thetaWeightDecay,
            true);
    return SearchSettings.paper()
        .seed(seed)
        .epochs(epochs)
        .warmupEpochs(warmupEpochs)
        .batch(batch)
        .epochBatches(epochBatches)
        .trainImages(trainImages)
        .weightShare(weightShare)
        .rate(rate)
        .thetaRate(thetaRate)
        .thetaSchedule(thetaSchedule)
        .tau(tau, tauEnd)
        .augmentation(augmentation.augmentation())
        .balance(classes.balance())
        .loss(loss)
        .lean(memory == Memory.LEAN)
        .sharedNorms(ranks.syncBn)
        .build();
  }

  /** How many networks the search scores before it chooses. */
  int scored() {
    return strategy.resolve().trainsTheta() ? samples : strategy.evaluations;
  }

  /** Takes over the epochs that a cost gave. */
  void plan(SearchSettings planned) {
    epochs = planned.epochs();
    warmupEpochs = planned.warmupEpochs();
    epochBatches = planned.epochBatches();
  }
}
