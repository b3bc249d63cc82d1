package io.fbnet.nas.cli;

import io.fbnet.nas.space.SearchSpace;

/**
 * What a search uses where no flag says otherwise: the paper's numbers, except where a built-in
 * space is made for small machines and says so in {@code --help}.
 *
 * @param data the data set, empty where the user must name one
 * @param epochs in all
 * @param warmupEpochs before theta starts
 * @param batch images a step
 * @param trainImages used, 0 for all
 * @param rate of SGD at the start
 * @param thetaRate of Adam
 * @param tauEnd temperature of the last step, 0 for the paper's factor of 0.956 an epoch
 * @param alpha factor of the latency term
 * @param beta exponent of log(LAT)
 */
record Preset(
    String data,
    int epochs,
    int warmupEpochs,
    int batch,
    int trainImages,
    double rate,
    double thetaRate,
    double tauEnd,
    double alpha,
    double beta) {
  private static final Preset PAPER = new Preset("", 90, 10, 192, 0, 0.1, 0.01, 0, 0.2, 0.6);
  // The latency term is the paper's: at batch 1 the blocks of this space differ by several times.
  private static final Preset FASHION =
      new Preset("fashion-mnist", 8, 2, 64, 12_000, 0.1, 0.1, 0.2, 0.2, 0.6);

  static Preset of(SearchSpace space) {
    return space.name().equals("fashion") ? FASHION : PAPER;
  }
}
