package io.fbnet.nas.search;

import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;

/**
 * Everything that decides a search beside its space, table and data.
 *
 * @param seed of weights, noise, splits, order and augmentation
 * @param epochs in all
 * @param warmupEpochs before theta starts
 * @param batch images a step
 * @param trainImages how many training images to use, 0 for all
 * @param weightShare the share of them that trains w, 0.8 in the paper
 * @param rate of SGD at the start; cosine to 0 over all w steps
 * @param thetaRate of Adam
 * @param tauFirst temperature until theta starts
 * @param tauDecay factor of the temperature each epoch after that
 * @param augmentation of training images
 * @param loss what the steps minimise
 */
public record SearchSettings(
    long seed,
    int epochs,
    int warmupEpochs,
    int batch,
    int trainImages,
    double weightShare,
    double rate,
    double thetaRate,
    double tauFirst,
    double tauDecay,
    Augmentation augmentation,
    LossSettings loss) {

  /** The temperature of an epoch, from 0. */
  public double tau(int epoch) {
    return tauFirst * Math.pow(tauDecay, Math.max(0, epoch - warmupEpochs));
  }

  /** The w learning rate of step {@code step} of {@code steps}. */
  public double rate(long step, long steps) {
    return 0.5 * rate * (1 + Math.cos(Math.PI * step / steps));
  }
}
