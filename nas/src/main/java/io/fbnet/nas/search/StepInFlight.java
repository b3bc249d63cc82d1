package io.fbnet.nas.search;

import io.fbnet.engine.backend.Readback;

/**
 * A step that was launched and whose results are on their way. On a GPU the next step is launched
 * before these are looked at, so the device does not wait for the host.
 *
 * @param theta whether it trains theta
 * @param position after the step
 * @param rate of learning
 * @param tau the temperature
 * @param results in the order of {@link #OUTPUTS}
 */
record StepInFlight(boolean theta, Position position, double rate, double tau, Readback results) {
  static final String[] OUTPUTS = {"loss", "finite", "rank", "latency us", "ce"};

  String phase() {
    return theta ? "theta" : "w";
  }

  /** What the step computed. */
  record Results(float loss, boolean finite, double accuracy, double latencyMs, float ce) {}

  Results await() {
    float[][] values = results.await();
    int right = 0;
    for (float rank : values[2]) {
      right += rank == 0 ? 1 : 0;
    }
    return new Results(
        values[0][0],
        values[1][0] == 1,
        (double) right / values[2].length,
        values[3][0] / 1000.0,
        values[4][0]);
  }
}
