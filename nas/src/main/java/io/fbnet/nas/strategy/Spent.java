package io.fbnet.nas.strategy;

/**
 * What judging networks took.
 *
 * @param evaluations how many networks were judged
 * @param macs multiply-adds of training, recalibration and scoring; 0 where they are not known
 * @param seconds of the device; 0 where they are not known
 */
public record Spent(long evaluations, double macs, double seconds) {
  /** Nothing yet. */
  public static final Spent NOTHING = new Spent(0, 0, 0);

  /**
   * {@return the sum of both}
   *
   * @param other what was spent beside this
   */
  public Spent plus(Spent other) {
    return new Spent(evaluations + other.evaluations, macs + other.macs, seconds + other.seconds);
  }
}
