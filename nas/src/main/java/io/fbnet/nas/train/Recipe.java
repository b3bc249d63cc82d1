package io.fbnet.nas.train;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.MultiplyAdds;
import io.fbnet.nas.network.TrainingStep;
import io.fbnet.nas.space.Architecture;

/**
 * How one architecture is trained from scratch.
 *
 * @param seed of weights, order and augmentation
 * @param batch images whose gradients are computed at once, and whose statistics batch norms use
 * @param accumulate batches whose gradients make one step
 * @param trainImages how many training images to use, 0 for all; those that are held out are among
 *     them where as many were divided
 * @param holdOut which images are not trained on
 * @param schedule the learning rate
 * @param momentum of SGD
 * @param weightDecay batch norms and biases spared
 * @param labelSmoothing the share of the target that goes to all classes alike
 * @param balance what is done about uneven classes
 * @param ema decay of the moving average, 0 for none
 * @param augmentation of training images
 * @param sharedNorms whether batch norms are over the images of all ranks, not over each rank's
 */
public record Recipe(
    long seed,
    int batch,
    int accumulate,
    int trainImages,
    HoldOut holdOut,
    RateSchedule schedule,
    double momentum,
    double weightDecay,
    double labelSmoothing,
    ClassBalance balance,
    double ema,
    Augmentation augmentation,
    boolean sharedNorms) {
  /** Updates after which the average looks back about nine updates at most. */
  private static final double EMA_RAMP = 9;

  /**
   * The average's decay at an update. It rises to {@link #ema}: the first average is the first
   * weights, and what was random counts no longer than it must.
   *
   * @param update from 0
   */
  double averageKeep(long update) {
    return Math.min(ema, update / (update + EMA_RAMP));
  }

  /**
   * {@return the same with batch norms over the images of all ranks or over each rank's}
   *
   * @param shared whether over all
   */
  public Recipe withSharedNorms(boolean shared) {
    return new Recipe(
        seed,
        batch,
        accumulate,
        trainImages,
        holdOut,
        schedule,
        momentum,
        weightDecay,
        labelSmoothing,
        balance,
        ema,
        augmentation,
        shared);
  }

  /**
   * {@return the numbers of the images that are trained on, ascending}
   *
   * @param images the training split
   */
  public int[] trained(ImageSet images) {
    return holdOut.trained(images, trainImages);
  }

  /**
   * Refuses data that make no step, before anything slow.
   *
   * @param data whose training split is meant
   * @throws UserException (exit code 3) where its images are too few, (exit code 2) where they lie
   *     in shards and are to be drawn in balance
   */
  public void require(Dataset data) {
    balance.require(data.train());
    int _ = stepsPerEpoch(trained(data.train()).length, data.name());
  }

  int stepsPerEpoch(int images, String data) {
    int steps = images / batch / accumulate;
    if (steps == 0) {
      throw UserException.data(
          "%s has %d images to train on, fewer than one step of %d batches of %d: lower --batch or"
              + " --accumulate, or give more images",
          data, images, accumulate, batch);
    }
    return steps;
  }

  /**
   * {@return the numbers of the images that are held out, ascending; none where the share is 0}
   *
   * @param images the training split
   */
  public int[] heldOut(ImageSet images) {
    return holdOut.heldOut(images);
  }

  /**
   * {@return multiply-adds of training a network by the recipe, every forward and backward pass,
   * and of reading the held out images once}
   *
   * @param architecture the network
   * @param data whose training split is meant
   */
  public double macs(Architecture architecture, Dataset data) {
    int steps = stepsPerEpoch(trained(data.train()).length, data.name());
    long step =
        MultiplyAdds.of(
                ArchitectureGraphs.training(architecture, batch, data.normalisation(), step()))
            .count();
    long read =
        MultiplyAdds.of(ArchitectureGraphs.evaluation(architecture, batch, data.normalisation()))
            .count();
    double batches = (double) schedule.epochs() * steps * accumulate;
    return batches * step + (double) read * Math.ceilDiv(heldOut(data.train()).length, batch);
  }

  TrainingStep step() {
    boolean weighted = balance == ClassBalance.WEIGHTS;
    boolean mixed = augmentation.mixup() > 0;
    return new TrainingStep(
        momentum, weightDecay, labelSmoothing, weighted, mixed, accumulate > 1, ema > 0);
  }
}
