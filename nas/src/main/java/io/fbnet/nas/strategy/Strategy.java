package io.fbnet.nas.strategy;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Nearest;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** The strategies of this package by name, each with the defaults of {@link Controllers}. */
public enum Strategy {
  /** Uniform draws. */
  RANDOM("uniform draws inside the budget, none twice"),
  /** Ageing evolution, with crossover. */
  EVOLUTION("ageing evolution (arXiv 1802.01548) with crossover"),
  /** Ageing evolution whose offspring a model ranks. */
  RANKED_EVOLUTION("evolution that judges the offspring of which a linear model expects most"),
  /** Independent logits with an absolute reward. */
  REINFORCE("a softmax a layer, REINFORCE, reward ACC + beta * |cost / T - 1| (arXiv 2008.06120)"),
  /** An LSTM taught by REINFORCE. */
  RNN("an LSTM, REINFORCE with a moving baseline, reward ACC (arXiv 1611.01578)"),
  /** An LSTM taught by PPO with a product as reward. */
  MNASNET("an LSTM, PPO, reward ACC * (cost / T)^w (arXiv 1807.11626)");

  private final String summary;

  Strategy(String summary) {
    this.summary = summary;
  }

  /** {@return its name as a flag has it, such as {@code ranked-evolution}} */
  public String word() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** {@return what it is, in a line} */
  public String summary() {
    return summary;
  }

  /** {@return the names of all} */
  public static List<String> words() {
    return Arrays.stream(values()).map(Strategy::word).toList();
  }

  /**
   * {@return the strategy of this name}
   *
   * @param word one of {@link #words}
   * @throws UserException (exit code 2) if there is none
   */
  public static Strategy of(String word) {
    return Arrays.stream(values())
        .filter(s -> s.word().equals(word))
        .findFirst()
        .orElseThrow(
            () ->
                UserException.usage(
                    "there is no strategy '%s'%s", word, Nearest.hint(word, words())));
  }

  /**
   * {@return a controller at its beginning}
   *
   * @param problem what it searches
   */
  public Controller begin(Problem problem) {
    return switch (this) {
      case RANDOM -> Controllers.random(problem);
      case EVOLUTION -> Controllers.evolution(problem, EvolutionSettings.PLAIN);
      case RANKED_EVOLUTION -> Controllers.evolution(problem, EvolutionSettings.RANKED);
      case REINFORCE -> Controllers.reinforce(problem, Controllers.BETA);
      case RNN -> Controllers.rnn(problem);
      case MNASNET -> Controllers.mnasnet(problem, Controllers.SOFT, Controllers.SOFT);
    };
  }
}
