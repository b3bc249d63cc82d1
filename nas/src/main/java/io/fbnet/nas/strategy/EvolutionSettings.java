package io.fbnet.nas.strategy;

/**
 * What ageing evolution can be told. The defaults were chosen on NAS-Bench-Macro, as {@code
 * bench/results/strategies.md} tells.
 *
 * @param initial networks drawn uniformly before the first offspring
 * @param population members at most; the oldest leaves
 * @param sample members of which the best becomes a parent
 * @param crossover share of the offspring that take each layer from one of two parents; the others
 *     are mutants. 0 is the algorithm as published
 * @param more chance that one more layer of a mutant is changed, again and again
 * @param mutants offspring of which the one that an additive model expects most of is proposed; 1
 *     needs no model
 * @param ridge what the model's squared weights are charged, in squared errors
 */
public record EvolutionSettings(
    int initial,
    int population,
    int sample,
    double crossover,
    double more,
    int mutants,
    double ridge) {
  /** Of {@link Strategy#EVOLUTION}. */
  public static final EvolutionSettings PLAIN = new EvolutionSettings(20, 50, 8, 0.5, 0.2, 1, 1);

  /** Of {@link Strategy#RANKED_EVOLUTION}. */
  public static final EvolutionSettings RANKED = new EvolutionSettings(20, 50, 8, 0.5, 0.2, 30, 1);

  /**
   * Checks the ranges.
   *
   * @throws IllegalArgumentException with a sentence to show, if a number is out of its range
   */
  public EvolutionSettings {
    if (initial < 1 || population < 1 || sample < 1 || mutants < 1) {
      throw new IllegalArgumentException(
          "evolution needs at least one initial network, member, member to choose from and mutant");
    }
    if (!(crossover >= 0 && crossover <= 1) || !(more >= 0 && more < 1)) {
      throw new IllegalArgumentException(
          "the share of crossovers is 0 to 1, the chance of one more change 0 to below 1");
    }
    if (!(ridge > 0)) {
      throw new IllegalArgumentException("the ridge is above 0, not " + ridge);
    }
  }
}
