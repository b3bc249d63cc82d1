package io.fbnet.nas.strategy;

/** Tells how good a network is. */
@FunctionalInterface
public interface Evaluator {
  /**
   * What was found.
   *
   * @param accuracy 0 to 1
   * @param crossEntropy the mean over images; no number where it is not known
   * @param spent what it took to find it
   */
  record Judgement(double accuracy, double crossEntropy, Spent spent) {}

  /**
   * {@return how good a network is, and what it took to find out}
   *
   * @param choice one candidate a layer
   * @throws io.fbnet.nas.UserException if it cannot be judged
   */
  Judgement judge(int[] choice);
}
