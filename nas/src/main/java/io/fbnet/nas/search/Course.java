package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.run.MetricsLog;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/**
 * What a search took and what it knew when, by its {@code cost.jsonl}.
 *
 * @param macs multiply-adds of training, recalibration and scoring
 * @param seconds of the device
 * @param scored the networks that were scored, in order
 */
public record Course(double macs, double seconds, List<Scored> scored) {
  /**
   * A network that was scored.
   *
   * @param macs multiply-adds that were spent when its score was known
   * @param accuracy its score, 0 to 1
   */
  public record Scored(double macs, double accuracy) {}

  /** Copies the list. */
  public Course {
    scored = List.copyOf(scored);
  }

  /**
   * {@return what a log holds; nothing where there is none}
   *
   * @param log a run's {@code cost.jsonl}
   * @throws io.fbnet.nas.UserException (exit code 3) if a line is none of such a log
   */
  public static Course read(Path log) {
    double seconds = 0;
    double macs = 0;
    TreeMap<Integer, Scored> scored = new TreeMap<>();
    for (ObjectNode line : MetricsLog.read(log)) {
      seconds += line.path(CostLog.SECONDS).asDouble();
      double here = line.path(CostLog.MACS).asDouble();
      int network = line.path(CostLog.NETWORK).asInt();
      if (network > 0) {
        // What was scored again after a kill has the same number.
        scored.put(network, new Scored(here, line.path(CostLog.ACCURACY).asDouble()));
      }
      macs = Math.max(macs, here);
    }
    return new Course(macs, seconds, new ArrayList<>(scored.values()));
  }

  /** {@return the same networks, each with the best accuracy up to there} */
  public List<Scored> best() {
    List<Scored> best = new ArrayList<>();
    double reached = 0;
    for (Scored one : scored) {
      reached = Math.max(reached, one.accuracy());
      best.add(new Scored(one.macs(), reached));
    }
    return best;
  }
}
