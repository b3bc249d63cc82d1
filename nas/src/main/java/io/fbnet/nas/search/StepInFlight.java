package io.fbnet.nas.search;

import io.fbnet.engine.backend.Readback;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.Batch;
import java.util.ArrayList;
import java.util.List;

/**
 * A step that was launched and whose results are on their way. On a GPU the next step is launched
 * before these are looked at, so the device does not wait for the host.
 *
 * @param theta whether it trains theta
 * @param position after the step
 * @param rate of learning
 * @param tau the temperature
 * @param batch which the device may still copy
 * @param results in the order of {@link #outputs}
 */
record StepInFlight(
    boolean theta, Position position, double rate, double tau, Batch batch, Readback results) {
  private static final List<String> OUTPUTS = List.of("loss", "finite", "rank", "latency us", "ce");

  /** What is read back: of a theta step also the excess of each limit's expected cost. */
  static String[] outputs(boolean theta, Budget budget) {
    List<String> outputs = new ArrayList<>(OUTPUTS);
    if (theta) {
      budget.limits().forEach(limit -> outputs.add(Budget.excess(limit)));
    }
    return outputs.toArray(String[]::new);
  }

  String phase() {
    return theta ? "theta" : "w";
  }

  /**
   * What the step computed.
   *
   * @param excess of each limit, E[cost] / target - 1, of theta as the step found it; none of a w
   *     step
   */
  record Results(
      float loss,
      boolean finite,
      double accuracy,
      double latencyMs,
      float ce,
      List<Double> excess) {}

  /** Waits for the results; the batch is then free again. */
  Results await() {
    float[][] values = results.await();
    batch.release();
    int right = 0;
    for (float rank : values[2]) {
      right += rank == 0 ? 1 : 0;
    }
    List<Double> excess = new ArrayList<>();
    for (int i = OUTPUTS.size(); i < values.length; i++) {
      excess.add((double) values[i][0]);
    }
    return new Results(
        values[0][0],
        values[1][0] == 1,
        (double) right / values[2].length,
        values[3][0] / 1000.0,
        values[4][0],
        excess);
  }
}
