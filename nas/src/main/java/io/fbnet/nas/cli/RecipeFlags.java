package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.train.HoldOut;
import io.fbnet.nas.train.RateSchedule;
import io.fbnet.nas.train.Recipe;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How one architecture is trained from scratch. */
final class RecipeFlags {
  @Option(
      names = "--seed",
      description = "Of weights, order and augmentation. Default: 1, or the search's.")
  Long seed;

  @Option(names = "--epochs", defaultValue = "12", description = "Over the images. Paper: 360.")
  int epochs;

  @Option(
      names = "--batch",
      defaultValue = "64",
      description = "Images whose gradients are computed at once. Paper: 256.")
  int batch;

  @Option(
      names = "--accumulate",
      paramLabel = "K",
      defaultValue = "1",
      description =
          "Adds up the gradients of K batches before each step, as if --batch were K times as"
              + " large; but batch norms use the statistics of each small batch.")
  int accumulate;

  @Option(
      names = "--train-images",
      description =
          "How many training images to use; 0: all. Default: 0, or the search's. Those that are"
              + " held out never train, however many are asked for.")
  Integer trainImages;

  @Option(names = "--rate", defaultValue = "0.1", description = "The highest learning rate.")
  double rate;

  @Option(
      names = "--schedule",
      defaultValue = "cosine",
      description = "cosine (to 0), or step (times --step-factor at each of --steps).")
  RateSchedule.Kind schedule;

  @Option(
      names = "--steps",
      split = ",",
      paramLabel = "EPOCH",
      description =
          "Epochs at which --schedule step lowers the rate. Default: a quarter, half and three"
              + " quarters of --epochs, which is the paper's 90,180,270 of 360.")
  List<Integer> steps;

  @Option(
      names = "--step-factor",
      defaultValue = "0.1",
      description = "What --schedule step multiplies the rate by.")
  double stepFactor;

  @Option(
      names = "--warmup-epochs",
      defaultValue = "0",
      description = "Epochs over which the rate first rises linearly from 0.")
  int warmupEpochs;

  @Option(names = "--momentum", defaultValue = "0.9", description = "Of SGD.")
  double momentum;

  @Option(
      names = "--weight-decay",
      defaultValue = "4e-5",
      description = "Batch norms and biases are spared.")
  double weightDecay;

  @Option(
      names = "--label-smoothing",
      paramLabel = "SHARE",
      defaultValue = "0",
      description = "The share of the target that goes to all classes alike.")
  double labelSmoothing;

  @Mixin ClassFlags classes;

  @Option(
      names = "--ema",
      paramLabel = "DECAY",
      defaultValue = "0",
      description =
          "Keeps an exponential moving average of weights and running statistics, such as 0.999,"
              + " and evaluates and writes the average instead of the last weights; 0: none.")
  double ema;

  @Mixin AugmentationFlags augmentation;

  @Option(
      names = "--mixup",
      paramLabel = "STRENGTH",
      description =
          "Mixes images and their labels in pairs, in shares drawn from Beta(STRENGTH, STRENGTH),"
              + " such as 0.2; at most 1. Default: 0, none.")
  Double mixup;

  /**
   * Fills in what was not given and checks ranges.
   *
   * @param otherSeed where {@code --seed} is not given
   * @param otherImages where {@code --train-images} is not given
   */
  void resolve(long otherSeed, int otherImages) {
    seed = seed == null ? (Long) otherSeed : seed;
    trainImages = trainImages == null ? (Integer) otherImages : trainImages;
    Ranges.epochs("--epochs", epochs);
    Ranges.batch(batch, 2);
    Ranges.atLeast("--accumulate", accumulate, 1);
    Ranges.atLeast("--train-images", trainImages, 0);
    Ranges.atLeast("--warmup-epochs", warmupEpochs, 0);
    augmentation.check();
    if (mixup != null && !(mixup >= 0 && mixup <= 1)) {
      throw UserException.usage("--mixup must lie from 0 to 1, but is %s", mixup);
    }
    Ranges.positive("--rate", rate);
    Ranges.notNegative("--weight-decay", weightDecay);
    belowOne("--momentum", momentum);
    belowOne("--label-smoothing", labelSmoothing);
    belowOne("--ema", ema);
    var _ = classes.balance();
    if (warmupEpochs >= epochs) {
      throw UserException.usage(
          "--warmup-epochs %d leaves nothing of --epochs %d: lower the one or raise the other",
          warmupEpochs, epochs);
    }
    resolveSteps();
  }

  private void resolveSteps() {
    if (schedule == RateSchedule.Kind.COSINE) {
      if (steps != null) {
        throw UserException.usage("--steps needs --schedule step");
      }
      return;
    }
    if (!(stepFactor > 0 && stepFactor <= 1)) {
      throw UserException.usage(
          "--step-factor must lie above 0 and be at most 1, but is %s", stepFactor);
    }
    if (steps == null) {
      steps = new ArrayList<>();
      for (int quarter = 1; quarter <= 3; quarter++) {
        int at = quarter * epochs / 4;
        if (at > 0 && !steps.contains(at)) {
          steps.add(at);
        }
      }
    }
    int before = 0;
    for (int at : steps) {
      if (at <= before || at >= epochs) {
        throw UserException.usage(
            "--steps must rise and lie between 0 and --epochs %d, but are %s", epochs, steps);
      }
      before = at;
    }
  }

  private static void belowOne(String flag, double value) {
    if (!(value >= 0 && value < 1)) {
      throw UserException.usage("%s must lie from 0 to below 1, but is %s", flag, value);
    }
  }

  /** The recipe that the resolved flags make. */
  Recipe recipe(HoldOut holdOut) {
    return new Recipe(
        seed,
        batch,
        accumulate,
        trainImages,
        holdOut,
        new RateSchedule(
            schedule, rate, epochs, warmupEpochs, steps == null ? List.of() : steps, stepFactor),
        momentum,
        weightDecay,
        labelSmoothing,
        classes.balance(),
        ema,
        augmentation.augmentation().withMixup(mixup == null ? 0 : mixup),
        false);
  }
}
