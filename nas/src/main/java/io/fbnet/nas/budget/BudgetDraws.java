package io.fbnet.nas.budget;

import io.fbnet.engine.random.Philox;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Draws architectures from a distribution of one choice a layer, given that they keep a budget: the
 * conditional distribution itself. A dynamic program over layers and binned costs knows, from every
 * state, how probable it is that the layers that follow end within the budget, so each layer is
 * drawn with what that leaves of its probabilities. Bins let near misses through; these are found
 * by the costs as they are and drawn anew, which leaves the distribution exact.
 *
 * <p>A draw is a function of seed, stream and index; draws of other streams are independent.
 */
public final class BudgetDraws {
  /**
   * Of one limit: near misses are then a hundredth of the draws. With two they are a sixth to two
   * fifths, with three nine tenths: a few microseconds each.
   */
  private static final int STATES_OF_ONE = 1 << 14;

  private static final int STATES_OF_MORE = 1 << 18;

  /** Attempts in a row that give nothing new, after which there is taken to be nothing new. */
  private static final int MOST_ATTEMPTS = 200_000;

  /**
   * Of the budget. Below it the table of probabilities would leave the numbers of a double; so
   * improbable a budget is drawn from with no candidate less likely than this over all layers.
   */
  private static final double LEAST_PROBABILITY = 1e-280;

  private final Budget budget;
  private final int layers;
  private final CostGrid grid;
  private final double[][] probabilities;

  /** Of ending within the budget, [layer][state]. */
  private final double[][] inside;

  /**
   * Computes the table: milliseconds for one limit, a tenth of a second for several.
   *
   * @param budget that every draw keeps; may be none
   * @param allowed which candidates each layer may take
   * @param probabilities of each candidate of each layer; of those that are not allowed they are
   *     not looked at
   */
  public BudgetDraws(Budget budget, boolean[][] allowed, double[][] probabilities) {
    this.budget = budget;
    layers = allowed.length;
    List<Bound> bounds = Bound.of(budget.limits());
    grid = new CostGrid(bounds, allowed, bounds.size() < 2 ? STATES_OF_ONE : STATES_OF_MORE);
    double[][] drawn = atLeast(probabilities, allowed, 0);
    double[][] table = table(drawn);
    if (grid.states() > 0 && table[0][0] < LEAST_PROBABILITY) {
      drawn = atLeast(probabilities, allowed, Math.pow(LEAST_PROBABILITY, 1.0 / layers));
      table = table(drawn);
    }
    this.probabilities = drawn;
    inside = table;
  }

  /**
   * {@return draws in which all architectures that keep a budget are equally likely}
   *
   * @param budget that every draw keeps; may be none
   * @param allowed which candidates each layer may take
   */
  public static BudgetDraws uniform(Budget budget, boolean[][] allowed) {
    double[][] probabilities = new double[allowed.length][];
    for (int l = 0; l < allowed.length; l++) {
      int candidates = 0;
      for (boolean may : allowed[l]) {
        candidates += may ? 1 : 0;
      }
      probabilities[l] = new double[allowed[l].length];
      Arrays.fill(probabilities[l], 1.0 / candidates);
    }
    return new BudgetDraws(budget, allowed, probabilities);
  }

  private static double[][] atLeast(double[][] of, boolean[][] allowed, double least) {
    double[][] result = new double[of.length][];
    for (int l = 0; l < of.length; l++) {
      result[l] = new double[of[l].length];
      for (int k = 0; k < of[l].length; k++) {
        result[l][k] = allowed[l][k] ? Math.max(of[l][k], least) : 0;
      }
    }
    return result;
  }

  private double[][] table(double[][] drawn) {
    double[][] table = new double[layers + 1][grid.states()];
    for (int s = 0; s < grid.states(); s++) {
      table[layers][s] = grid.ends()[s] ? 1 : 0;
    }
    for (int l = layers - 1; l >= 0; l--) {
      double[] here = table[l];
      double[] after = table[l + 1];
      for (int k = 0; k < drawn[l].length; k++) {
        double p = drawn[l][k];
        int step = grid.step(l, k);
        grid.runs(
            l,
            k,
            (from, to) -> {
              for (int s = from; s < to; s++) {
                here[s] += p * after[s + step];
              }
            });
      }
    }
    return table;
  }

  /**
   * {@return an architecture within the budget; empty where there is none, or so hidden among near
   * misses that none was found}
   *
   * @param seed of all randomness
   * @param stream of independent draws
   * @param index of the draw
   */
  public Optional<int[]> draw(long seed, int stream, long index) {
    for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      int[] choice = attempt(seed, stream, index, attempt);
      if (choice == null) {
        return Optional.empty();
      }
      if (budget.met(choice)) {
        return Optional.of(choice);
      }
    }
    return Optional.empty();
  }

  /**
   * {@return architectures within the budget, each once: those given, then the draws in their
   * order, those of index 0, 1, 2 and so on without what was there before; fewer than asked for
   * where nothing new was drawn in {@value #MOST_ATTEMPTS} attempts}
   *
   * @param seed of all randomness
   * @param stream of independent draws
   * @param count how many, those given among them
   * @param given to begin with, left out where they do not keep the budget
   */
  public List<int[]> distinct(long seed, int stream, int count, List<int[]> given) {
    Set<IntBuffer> seen = new HashSet<>();
    List<int[]> choices = new ArrayList<>();
    for (int[] choice : given) {
      if (choices.size() < count && budget.met(choice) && seen.add(IntBuffer.wrap(choice))) {
        choices.add(choice);
      }
    }
    int inVain = 0;
    for (long index = 0; choices.size() < count && inVain < MOST_ATTEMPTS; index++) {
      for (int attempt = 0; inVain < MOST_ATTEMPTS; attempt++) {
        int[] choice = attempt(seed, stream, index, attempt);
        if (choice == null) {
          return choices;
        }
        inVain++;
        if (budget.met(choice)) {
          if (seen.add(IntBuffer.wrap(choice))) {
            choices.add(choice);
            inVain = 0;
          }
          break;
        }
      }
    }
    return choices;
  }

  /** How many first attempts of the first draws are near misses, which are drawn anew. */
  int nearMisses(long seed, int stream, int draws) {
    int misses = 0;
    for (int i = 0; i < draws; i++) {
      misses += budget.met(attempt(seed, stream, i, 0)) ? 0 : 1;
    }
    return misses;
  }

  /** A draw that is within the budget but for what binning lost; null where there is none. */
  private int[] attempt(long seed, int stream, long index, int attempt) {
    if (grid.states() == 0 || !(inside[0][0] > 0)) {
      return null;
    }
    int[] choice = new int[layers];
    int[] words = new int[4];
    int state = 0;
    for (int l = 0; l < layers; l++) {
      Philox.block(seed, stream, index, (long) attempt * layers + l, words);
      double left = uniform(words) * inside[l][state];
      int next = -1;
      for (int k = 0; k < probabilities[l].length && left >= 0; k++) {
        int there = grid.next(state, l, k);
        double p = there < 0 ? 0 : probabilities[l][k] * inside[l + 1][there];
        if (p > 0) {
          // The last possible one stays where rounding leaves a little.
          left -= p;
          choice[l] = k;
          next = there;
        }
      }
      state = next;
    }
    return choice;
  }

  /** A number from 0 to below 1 with 53 random bits. */
  private static double uniform(int[] words) {
    long high = Integer.toUnsignedLong(words[0]) >>> 5;
    long low = Integer.toUnsignedLong(words[1]) >>> 6;
    return ((high << 26) + low) * 0x1p-53;
  }
}
