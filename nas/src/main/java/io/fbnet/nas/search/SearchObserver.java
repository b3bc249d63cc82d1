package io.fbnet.nas.search;

/** What the search tells while it runs. */
public interface SearchObserver {
  /**
   * After every step.
   *
   * @param done steps done of {@code total}
   * @param epoch from 0
   * @param phase {@code w} or {@code theta}
   * @param loss of this step
   * @param accuracy of this batch under the mixture, 0 to 1
   * @param latencyMs the mixture's latency
   */
  void step(
      long done,
      long total,
      int epoch,
      String phase,
      double loss,
      double accuracy,
      double latencyMs);

  /** After an epoch. */
  void epoch(int epoch, double expectedMs, double entropyBits);

  /** Whether the search should stop after this step and save. */
  boolean stopRequested();
}
