package io.fbnet.nas.search;

/** What the search tells while it runs; whoever does not listen need not say so. */
public interface SearchObserver {
  /** Listens to nothing and never stops. */
  SearchObserver NONE = new SearchObserver() {};

  /**
   * After every step.
   *
   * @param done steps done
   * @param total steps in all
   * @param epoch from 0
   * @param phase {@code w} or {@code theta}
   * @param loss of this step
   * @param accuracy of this batch under the mixture, 0 to 1
   * @param latencyMs the mixture's latency, ms
   */
  default void step(
      long done,
      long total,
      int epoch,
      String phase,
      double loss,
      double accuracy,
      double latencyMs) {}

  /**
   * After an epoch.
   *
   * @param epoch from 0
   * @param expectedMs the exact expectation of the latency of draws from theta
   * @param entropyBits of theta, the mean over layers
   */
  default void epoch(int epoch, double expectedMs, double entropyBits) {}

  /**
   * After a network that a controller proposed was scored.
   *
   * @param done networks scored
   * @param total to be scored in all
   * @param score of this one
   */
  default void evaluated(int done, int total, ArchitectureScorer.Score score) {}

  /** {@return whether the search should stop after this step and save} */
  default boolean stopRequested() {
    return false;
  }
}
