package io.fbnet.nas.strategy;

import java.util.Optional;

/**
 * A search that learns from the accuracies of what it proposed. It proposes no network twice and
 * none outside the budget. Several may be proposed before the first is judged; with equal calls in
 * equal order, equal problems give equal proposals.
 */
public interface Controller {
  /**
   * {@return the next network to judge, one candidate a layer; empty once every network inside the
   * budget was proposed}
   */
  Optional<int[]> propose();

  /**
   * Tells how good a network is. It need not have been proposed: what is known already may be told
   * first.
   *
   * @param choice one candidate a layer, inside the budget
   * @param accuracy 0 to 1
   * @param cost in the unit of {@link Problem#target}; not read where there is no target
   * @throws IllegalArgumentException if the choice is outside the budget, the accuracy no number
   *     from 0 to 1, or a cost that is needed not above 0
   */
  void feedback(int[] choice, double accuracy, double cost);

  /** {@return all that {@link #restore} needs to go on with the same bits, as text} */
  String state();

  /**
   * Goes on where another controller of an equal problem and equal settings was.
   *
   * @param state what {@link #state} gave there
   * @throws IllegalArgumentException if it is not of such a controller
   */
  void restore(String state);
}
