package io.fbnet.nas.strategy;

/** The networks of a space that are inside a budget. */
public interface Feasible {
  /**
   * {@return whether a network is inside}
   *
   * @param choice one candidate a layer
   */
  boolean met(int[] choice);

  /**
   * {@return which candidates of a layer can still lead to a network inside, one flag a candidate}
   * There is at least one, as long as the layers before were chosen among those that could.
   *
   * @param prefix the choices of the layers before; what stands at {@code layer} and behind it is
   *     not read
   * @param layer from 0
   */
  boolean[] mayTake(int[] prefix, int layer);

  /**
   * {@return a network drawn uniformly from all that are inside}
   *
   * @param seed of a sequence of draws
   * @param index in it
   */
  int[] uniform(long seed, long index);
}
