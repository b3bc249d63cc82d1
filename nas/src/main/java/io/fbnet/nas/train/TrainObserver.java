package io.fbnet.nas.train;

/** What a training tells while it runs. */
public interface TrainObserver {
  /**
   * After every step.
   *
   * @param done steps done of {@code total}
   * @param total steps of the whole training
   * @param epoch from 0
   * @param loss of this step
   * @param accuracy of this step's images as the network was before it, 0 to 1
   */
  void step(long done, long total, int epoch, double loss, double accuracy);

  /** {@return whether the training should stop after this step and save} */
  boolean stopRequested();
}
