package io.fbnet.nas.search;

import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.train.HoldOut;

/**
 * Everything that decides a search beside its space, table, budget and data.
 *
 * @param seed of weights, noise, splits, order and augmentation
 * @param epochs in all
 * @param warmupEpochs before theta starts
 * @param batch images a step
 * @param epochBatches w steps of an epoch at most, others each time, and theta steps in proportion;
 *     0 for as many as the images make
 * @param trainImages how many training images to use, 0 for all
 * @param weightShare the share of them that trains w, 0.8 in the paper
 * @param rate of SGD at the start; cosine to 0 over all w steps
 * @param thetaRate of Adam at the start
 * @param thetaSchedule how it goes on
 * @param tauFirst temperature until theta starts
 * @param tauEnd temperature of the last step, 0 for the paper's factor of 0.956 an epoch
 * @param augmentation of training images
 * @param balance what is done about uneven classes, of images that train w and of those that train
 *     theta; scores of networks are not weighted
 * @param loss what the steps minimise
 * @param lean whether candidates are computed twice a step, one at a time, instead of kept: the
 *     same bits in less memory and more time
 * @param sharedNorms whether batch norms are over the images of all ranks, not over each rank's
 */
public record SearchSettings(
    long seed,
    int epochs,
    int warmupEpochs,
    int batch,
    int epochBatches,
    int trainImages,
    double weightShare,
    double rate,
    double thetaRate,
    ThetaSchedule thetaSchedule,
    double tauFirst,
    double tauEnd,
    Augmentation augmentation,
    ClassBalance balance,
    LossSettings loss,
    boolean lean,
    boolean sharedNorms) {
  /** How the learning rate of theta goes on from its start. */
  public enum ThetaSchedule {
    /** It stays, as in the paper. */
    CONSTANT,
    /** By half a cosine to 0 over all theta steps. */
    COSINE
  }

  private static final double PAPER_TAU_DECAY = 0.956;

  /**
   * The temperature falls no further: samples are one-hot long before, and a float's exponent ends
   * where the paper's factor leads in a few thousand epochs.
   */
  public static final double LEAST_TAU = 0.01;

  /** {@return the paper's numbers, made for ImageNet-100 on a GPU, to be changed} */
  public static Builder paper() {
    return new Builder();
  }

  /** {@return numbers for a few minutes on two cores and the space fashion, to be changed} */
  public static Builder small() {
    return new Builder()
        .epochs(8)
        .warmupEpochs(2)
        .batch(64)
        .trainImages(12_000)
        .thetaRate(0.1)
        .tau(5, 0.2);
  }

  /** Settings that are being put together. */
  public static final class Builder {
    private long seed = 1;
    private int epochs = 90;
    private int warmupEpochs = 10;
    private int batch = 192;
    private int epochBatches;
    private int trainImages;
    private double weightShare = 0.8;
    private double rate = 0.1;
    private double thetaRate = 0.01;
    private ThetaSchedule thetaSchedule = ThetaSchedule.CONSTANT;
    private double tauFirst = 5;
    private double tauEnd;
    private Augmentation augmentation = Augmentation.cropAndFlip(2);
    private ClassBalance balance = ClassBalance.NONE;
    private LossSettings loss = LossSettings.PAPER;
    private boolean lean;
    private boolean sharedNorms;

    private Builder() {}

    /**
     * {@return this, with a seed}
     *
     * @param value of weights, noise, splits, order and augmentation
     */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /**
     * {@return this, with so many epochs in all}
     *
     * @param count at least 1
     */
    public Builder epochs(int count) {
      epochs = count;
      return this;
    }

    /**
     * {@return this, with so many epochs of w alone before theta starts}
     *
     * @param count fewer than all
     */
    public Builder warmupEpochs(int count) {
      warmupEpochs = count;
      return this;
    }

    /**
     * {@return this, with a batch size}
     *
     * @param images a step
     */
    public Builder batch(int images) {
      batch = images;
      return this;
    }

    /**
     * {@return this, with shorter epochs}
     *
     * @param steps of w in an epoch at most, and of theta in proportion; 0 for as many as the
     *     images make
     */
    public Builder epochBatches(int steps) {
      epochBatches = steps;
      return this;
    }

    /**
     * {@return this, with so many training images}
     *
     * @param images used, 0 for all
     */
    public Builder trainImages(int images) {
      trainImages = images;
      return this;
    }

    /**
     * {@return this, with another share of the images for w}
     *
     * @param share between 0 and 1; the rest trains theta
     */
    public Builder weightShare(double share) {
      weightShare = share;
      return this;
    }

    /**
     * {@return this, with a learning rate of w}
     *
     * @param value at the start; it falls to 0 by a cosine
     */
    public Builder rate(double value) {
      rate = value;
      return this;
    }

    /**
     * {@return this, with a learning rate of theta}
     *
     * @param value of Adam
     */
    public Builder thetaRate(double value) {
      thetaRate = value;
      return this;
    }

    /**
     * {@return this, with a course of theta's learning rate}
     *
     * @param value how it goes on from its start
     */
    public Builder thetaSchedule(ThetaSchedule value) {
      thetaSchedule = value;
      return this;
    }

    /**
     * {@return this, with temperatures}
     *
     * @param first until theta starts
     * @param end of the last step; 0 for the paper's 0.956 times an epoch
     */
    public Builder tau(double first, double end) {
      tauFirst = first;
      tauEnd = end;
      return this;
    }

    /**
     * {@return this, with an augmentation of training images}
     *
     * @param value crops and flips
     */
    public Builder augmentation(Augmentation value) {
      augmentation = value;
      return this;
    }

    /**
     * {@return this, with something done about uneven classes}
     *
     * @param value of images that train w, and of those that train theta
     */
    public Builder balance(ClassBalance value) {
      balance = value;
      return this;
    }

    /**
     * {@return this, with a loss}
     *
     * @param value what the steps minimise
     */
    public Builder loss(LossSettings value) {
      loss = value;
      return this;
    }

    /**
     * {@return this, with or without candidates computed twice a step}
     *
     * @param value whether they are computed again, one at a time, instead of kept
     */
    public Builder lean(boolean value) {
      lean = value;
      return this;
    }

    /**
     * {@return this, with batch norms over the images of all ranks or over each rank's}
     *
     * @param value whether over all
     */
    public Builder sharedNorms(boolean value) {
      sharedNorms = value;
      return this;
    }

    /**
     * {@return the settings}
     *
     * @throws IllegalArgumentException where they cannot be a search
     */
    public SearchSettings build() {
      if (epochs < 1
          || warmupEpochs < 0
          || warmupEpochs >= epochs
          || batch < 2
          || epochBatches < 0) {
        throw new IllegalArgumentException(
            "epochs must be at least 1, the epochs of w alone fewer than all, a batch at least 2");
      }
      if (!(tauFirst >= LEAST_TAU) || tauEnd != 0 && !(tauEnd >= LEAST_TAU)) {
        throw new IllegalArgumentException("a temperature must be at least " + LEAST_TAU);
      }
      if (!(weightShare > 0 && weightShare < 1)) {
        throw new IllegalArgumentException("the share of w must lie between 0 and 1");
      }
      return new SearchSettings(
          seed,
          epochs,
          warmupEpochs,
          batch,
          epochBatches,
          trainImages,
          weightShare,
          rate,
          thetaRate,
          thetaSchedule,
          tauFirst,
          tauEnd,
          augmentation,
          balance,
          loss,
          lean,
          sharedNorms);
    }
  }

  /** {@return these without the product with the latency, for a budget with a target} */
  SearchSettings withoutProduct() {
    return copy(epochs, warmupEpochs, epochBatches, loss.withoutProduct());
  }

  /**
   * {@return these with another number of steps}
   *
   * @param count of epochs in all
   * @param warmup of w alone
   * @param batches w steps of an epoch at most, 0 for all
   */
  SearchSettings withEpochs(int count, int warmup, int batches) {
    return copy(count, warmup, batches, loss);
  }

  private SearchSettings copy(int count, int warmup, int batches, LossSettings minimised) {
    return new SearchSettings(
        seed,
        count,
        warmup,
        batch,
        batches,
        trainImages,
        weightShare,
        rate,
        thetaRate,
        thetaSchedule,
        tauFirst,
        tauEnd,
        augmentation,
        balance,
        minimised,
        lean,
        sharedNorms);
  }

  /**
   * {@return the temperature of a step}
   *
   * <p>It falls geometrically with every step, so that a few epochs do not make a few jumps. The
   * steps of w and those of theta in an epoch each go through all that the epoch falls by: theta's
   * first step has the first temperature and its last one the end, in a single epoch too, and so do
   * w's once theta moves, although theirs come before. The paper's factor is one of an epoch: each
   * epoch begins with the temperature that the paper gives all of it.
   *
   * @param epoch from 0
   * @param batch of the epoch's steps of the kind, from 0
   * @param batches how many steps of the kind the epoch has
   */
  public double tau(int epoch, int batch, int batches) {
    if (epoch < warmupEpochs) {
      return tauFirst;
    }
    double done = epoch - warmupEpochs + (double) batch / batches;
    if (tauEnd == 0) {
      return Math.max(LEAST_TAU, tauFirst * Math.pow(PAPER_TAU_DECAY, done));
    }
    double last = epochs - warmupEpochs - 1.0 / batches;
    return last > 0 ? tauFirst * Math.pow(tauEnd / tauFirst, Math.min(1, done / last)) : tauEnd;
  }

  /**
   * {@return steps of w in an epoch}
   *
   * @param images that train w
   */
  public int weightBatches(int images) {
    int all = images / batch;
    return epochBatches == 0 ? all : Math.min(epochBatches, all);
  }

  /**
   * {@return steps of theta in an epoch: as large a share of all as w takes, at least one}
   *
   * @param weightImages that train w
   * @param images that train theta
   */
  public int thetaBatches(int weightImages, int images) {
    long all = images / batch;
    return (int) Math.max(1, all * weightBatches(weightImages) / (weightImages / batch));
  }

  /** {@return the images that train theta, for whoever trains a network that theta chose} */
  public HoldOut heldOut() {
    // Rounded, so that 1 - 0.8 is the 0.2 that people write.
    return new HoldOut(Math.round((1 - weightShare) * 1e6) / 1e6, seed, trainImages);
  }

  /** What the product with the latency, alpha * log(LAT in us)^beta, makes of the loss. */
  double latencyFactor(double latencyMs) {
    double log = Math.log(Math.max(Math.E, 1000 * latencyMs));
    return loss.alpha() * Math.pow(log, loss.beta());
  }

  /**
   * {@return the learning rate of w at a step}
   *
   * @param step from 0
   * @param steps of w in all
   */
  public double rate(long step, long steps) {
    return 0.5 * rate * (1 + Math.cos(Math.PI * step / steps));
  }

  /**
   * {@return the learning rate of theta at a step}
   *
   * @param step from 0
   * @param steps of theta in all
   */
  public double thetaRate(long step, long steps) {
    return thetaSchedule == ThetaSchedule.CONSTANT
        ? thetaRate
        : 0.5 * thetaRate * (1 + Math.cos(Math.PI * step / steps));
  }
}
