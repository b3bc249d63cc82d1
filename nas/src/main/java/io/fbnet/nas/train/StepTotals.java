package io.fbnet.nas.train;

/** What the parts of one step computed, added up. */
final class StepTotals {
  private int parts;
  private double images;
  private double right;
  private double loss;
  private double crossEntropy;

  /**
   * Adds a part's results.
   *
   * @param results in the order of {@link Trainer#OUTPUTS}
   * @return whether they are finite
   */
  boolean add(float[][] results) {
    parts++;
    loss += results[0][0];
    for (float rank : results[2]) {
      right += rank == 0 ? 1 : 0;
    }
    for (float ce : results[3]) {
      crossEntropy += ce;
    }
    images += results[2].length;
    return results[1][0] == 1;
  }

  /** Takes the means over the ranks, each of which has as many images. */
  void over(RankShare share) {
    double[] means = share.means(right, crossEntropy);
    right = means[0];
    crossEntropy = means[1];
  }

  /** The mean over parts, which are equally large. */
  double loss() {
    return loss / parts;
  }

  /** The mean over images, without smoothing. */
  double crossEntropy() {
    return crossEntropy / images;
  }

  double accuracy() {
    return right / images;
  }
}
