package io.fbnet.nas.search;

import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.List;

/** What searches of seconds are made of. */
public final class TinySearch {
  private TinySearch() {}

  /** All nine candidates, grouped and changing shapes, on images of 12 x 12. */
  public static SearchSpace space() {
    return SearchSpace.load(
        Path.of("src", "test", "resources", "io", "fbnet", "nas", "endtoend", "tiny.yaml")
            .toString());
  }

  /** Images that it takes. */
  public static DataOptions shapes() {
    return DataOptions.of("shapes", new ImageShape(1, 12, 12)).withSeed(1).withOffline(true);
  }

  /**
   * Latencies that follow no count, so that a limit on the one is none on the other; to measure
   * them takes longer than the searches.
   */
  public static LatencyTable table(SearchSpace space) {
    double[][] ms = new double[space.layerCount()][space.blocks().size()];
    for (int l = 0; l < ms.length; l++) {
      for (int k = 0; k < ms[l].length; k++) {
        ms[l][k] = 0.01 + 0.03 * ((5 * l + 7 * k) % 11);
      }
    }
    return LatencyTable.builder("made up", space).fixed(0.2).layers(ms).build();
  }

  /** Two limits that bite. */
  static Budget budget(SearchSpace space, LatencyTable table) {
    double mean = table.expected(Theta.uniform(space).probabilities());
    return new Budget(List.of(Limit.latency(table, 0.8 * mean), Limit.macs(space, 60_000)));
  }

  /** Stops after so many steps and scores, counted from the beginning. */
  static final class StopAfter implements SearchObserver {
    private final long steps;
    private final int scores;
    private boolean stop;

    StopAfter(long steps, int scores) {
      this.steps = steps;
      this.scores = scores;
    }

    @Override
    public void step(
        long done,
        long total,
        int epoch,
        String phase,
        double loss,
        double accuracy,
        double latencyMs) {
      stop |= done >= steps;
    }

    @Override
    public void evaluated(int done, int total, ArchitectureScorer.Score score) {
      stop |= done >= scores;
    }

    @Override
    public boolean stopRequested() {
      return stop;
    }
  }
}
