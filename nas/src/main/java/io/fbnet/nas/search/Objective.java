package io.fbnet.nas.search;

import io.fbnet.nas.search.ArchitectureScorer.Score;
import java.util.Comparator;
import java.util.List;

/**
 * What the choice among scored or trained networks makes least: the share of wrong answers where
 * latency is limited, since all that are left are fast enough; else the loss, in which latency
 * counts. Limits of multiply-adds or parameters say nothing of latency, so under them alone it is
 * the loss too.
 *
 * @param latencyLimited whether a budget limits latency
 * @param settings of the search, whose loss it is
 */
public record Objective(boolean latencyLimited, SearchSettings settings) {
  /**
   * {@return the figure; of equal ones the first drawn is taken}
   *
   * @param accuracy 0 to 1
   * @param crossEntropy the mean over images; may be no number, which is worst
   * @param latencyMs the table's sum
   */
  public double of(double accuracy, double crossEntropy, double latencyMs) {
    return latencyLimited ? 1 - accuracy : loss(crossEntropy, latencyMs);
  }

  /**
   * {@return crossEntropy * alpha * log(latency in microseconds)^beta}
   *
   * @param crossEntropy the mean over images
   * @param latencyMs the table's sum
   */
  public double loss(double crossEntropy, double latencyMs) {
    return loss(settings, crossEntropy, latencyMs);
  }

  static double loss(SearchSettings settings, double crossEntropy, double latencyMs) {
    return crossEntropy * settings.latencyFactor(latencyMs);
  }

  /**
   * {@return the score that the choice takes}
   *
   * @param scores at least one
   */
  public Score least(List<Score> scores) {
    return scores.stream()
        .min(Comparator.comparingDouble(s -> of(s.accuracy(), s.crossEntropy(), s.latencyMs())))
        .orElseThrow();
  }
}
