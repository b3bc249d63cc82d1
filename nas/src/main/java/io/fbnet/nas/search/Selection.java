package io.fbnet.nas.search;

import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.train.Evaluation;
import java.nio.file.Path;
import java.util.List;

/**
 * What a search chose, and from what.
 *
 * @param drawn theta's most likely architecture and others drawn from theta, each within the budget
 *     and each once; fewer than were asked for where there are hardly others
 * @param uniform as many, drawn uniformly among all within the budget, for comparison; often empty
 * @param best of {@code drawn}
 * @param test the best on the test images
 * @param testImages how many those are
 */
public record Selection(
    List<Score> drawn, List<Score> uniform, Score best, Evaluation test, int testImages) {
  /** Copies the lists. */
  public Selection {
    drawn = List.copyOf(drawn);
    uniform = List.copyOf(uniform);
  }

  /** {@return the best architecture} */
  public Architecture architecture() {
    return best.architecture();
  }

  /**
   * Writes all of them as {@code samples.json}.
   *
   * @param file to write
   */
  public void write(Path file) {
    SamplesFile.of(drawn, uniform, best, test, testImages).write(file);
  }
}
