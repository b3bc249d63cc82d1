package io.fbnet.nas.search;

import io.fbnet.nas.run.MetricsLog;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a search took, written to its folder as it goes: a line a checkpoint and a line a network
 * that was scored. Multiply-adds are those up to there, and the same however often the search was
 * stopped; seconds are those since the line before or since this process began, so all of them
 * together are what was really spent, but for what a kill took with it.
 */
final class CostLog {
  static final String MACS = "spent_macs";
  static final String SECONDS = "seconds";
  static final String ACCURACY = "accuracy";
  static final String NETWORK = "network";

  private final Path file;
  private long mark = System.nanoTime();

  /** A log that may have been begun by another process. */
  CostLog(Path file) {
    this.file = file;
  }

  /**
   * Steps were done.
   *
   * @param step steps in all
   * @param macs in all
   */
  void trained(long step, long macs) {
    append(step, new LinkedHashMap<>(Map.of(MACS, macs)));
  }

  /**
   * A network was scored.
   *
   * @param network its number, from 1
   * @param macs in all
   * @param accuracy its score
   */
  void scored(int network, double macs, double accuracy) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put(NETWORK, network);
    line.put(MACS, macs);
    line.put(ACCURACY, accuracy);
    append(network, line);
  }

  private void append(long step, Map<String, Object> line) {
    long now = System.nanoTime();
    line.put(SECONDS, (now - mark) / 1e9);
    mark = now;
    try (MetricsLog log = MetricsLog.open(file)) {
      log.append(step, line);
    }
  }
}
