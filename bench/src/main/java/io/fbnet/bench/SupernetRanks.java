package io.fbnet.bench;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.search.PathSampling;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.search.SearchStrategy;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.AccuracyTable;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Problem;
import io.fbnet.nas.strategy.Strategy;
import io.fbnet.nas.strategy.SumRange;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * How a supernet of the space of NAS-Bench-Macro orders its networks: trains one on a folder of
 * images, scores networks with its weights, and writes their scores beside their true accuracies,
 * for {@code supernet_ranks.py}. It goes on where it was stopped.
 *
 * <pre>{@code
 * java -cp benchmarks.jar:nas/target/test-classes io.fbnet.bench.SupernetRanks
 *     IMAGES ORACLE RUN mixture|uniform|fair|sandwich EPOCHS TRAIN_IMAGES THREADS SEED
 * }</pre>
 */
public final class SupernetRanks {
  private static final String SPACE = "docs/examples/nas-bench-macro.yaml";
  private static final int LAYERS = 8;
  private static final int CANDIDATES = 3;
  private static final int NETWORKS = 200;
  private static final int EVOLVED = 50;
  private static final long DRAWS_SEED = 20261128L;

  /** The median of all networks' multiply-adds. */
  private static final long MEDIAN = 55_398_912L;

  private SupernetRanks() {}

  /** True accuracies and multiply-adds, and the ranges of the latter. */
  private record Oracle(AccuracyTable table, SearchSpace space) {
    long macs(int[] choice) {
      return table.entry(choice).networkMacs().orElseThrow();
    }

    private SumRange between(long least, long most) {
      long[][] costs = new long[LAYERS][CANDIDATES];
      long none = macs(new int[LAYERS]);
      for (int l = 0; l < LAYERS; l++) {
        for (int k = 0; k < CANDIDATES; k++) {
          int[] choice = new int[LAYERS];
          choice[l] = k;
          costs[l][k] = macs(choice) - none;
        }
      }
      return new SumRange(costs, space.allowed(), least - none, most - none);
    }

    /** What proposes networks of so many multiply-adds. */
    Controller begin(Strategy strategy, long least, long most, long seed) {
      SumRange range = between(least, most);
      return strategy.begin(new Problem(space.allowed(), range, OptionalDouble.empty(), seed));
    }
  }

  private static SearchStrategy strategy(String name) {
    return switch (name) {
      case "mixture" -> SearchStrategy.FBNET;
      case "uniform" -> SearchStrategy.singlePath(PathSampling.UNIFORM);
      case "fair" -> SearchStrategy.singlePath(PathSampling.FAIR);
      case "sandwich" -> SearchStrategy.singlePath(PathSampling.SANDWICH);
      default -> throw new IllegalArgumentException("no supernet is trained by " + name);
    };
  }

  /** Latency plays no part here, but a search has a table. */
  private static LatencyTable table(SearchSpace space) {
    double[][] ms = new double[LAYERS][CANDIDATES];
    for (double[] layer : ms) {
      Arrays.fill(layer, 1);
    }
    return LatencyTable.builder("none", space).fixed(1).layers(ms).build();
  }

  /** Trains, scores and writes. */
  public static void main(String[] args) throws Exception {
    Path run = Path.of(args[2]);
    SearchSpace space = SearchSpace.load(SPACE);
    Oracle oracle = new Oracle(AccuracyTable.load(Path.of(args[1]), space), space);
    int threads = Integer.parseInt(args[6]);
    SearchSettings settings =
        SearchSettings.paper()
            .seed(Long.parseLong(args[7]))
            .epochs(Integer.parseInt(args[4]))
            .warmupEpochs(0)
            .batch(64)
            .trainImages(Integer.parseInt(args[5]))
            .weightShare(0.9)
            .rate(0.05)
            .tau(5, 0.5)
            .augmentation(Augmentation.cropAndFlip(2))
            .loss(LossSettings.PAPER.withoutProduct())
            .build();
    try (Backend device = CpuBackend.open(threads, Precision.BF16);
        Dataset data = DataSource.open(DataOptions.of(args[0], new ImageShape(3, 32, 32)));
        RunFolder folder = Files.isDirectory(run) ? RunFolder.open(run) : RunFolder.create(run);
        Search search =
            new Search(
                device, data, space, table(space), Budget.NONE, settings, strategy(args[3]))) {
      search.restore(folder, System.err::println);
      long start = System.nanoTime();
      SearchObserver progress = new Progress(start);
      search.run(folder, progress);
      System.err.printf(Locale.ROOT, "trained after %.0f s%n", (System.nanoTime() - start) / 1e9);
      Controller all = oracle.begin(Strategy.RANDOM, 0, Long.MAX_VALUE / 2, DRAWS_SEED);
      Controller band =
          oracle.begin(Strategy.RANDOM, Math.round(0.97 * MEDIAN), MEDIAN, DRAWS_SEED);
      Controller evolution = oracle.begin(Strategy.EVOLUTION, 0, MEDIAN, settings.seed());
      score(search, run, "all", all, NETWORKS, oracle, progress);
      score(search, run, "band", band, NETWORKS, oracle, progress);
      score(search, run, "evolution", evolution, EVOLVED, oracle, progress);
      System.err.printf(Locale.ROOT, "done after %.0f s%n", (System.nanoTime() - start) / 1e9);
    }
  }

  private static void score(
      Search search,
      Path run,
      String name,
      Controller controller,
      int count,
      Oracle oracle,
      SearchObserver observer)
      throws Exception {
    Path log = run.resolve("scores-" + name + ".jsonl");
    List<String> rows = new ArrayList<>();
    for (Score score :
        search.explore(name, p -> controller, log, count, observer).orElseThrow().drawn()) {
      int[] choice = score.architecture().choice();
      AccuracyTable.Entry truth = oracle.table().entry(choice);
      rows.add(
          String.format(
              Locale.ROOT,
              "%s\t%.6f\t%.6f\t%.6f\t%d",
              Arrays.toString(choice).replaceAll("[^0-9]", ""),
              score.accuracy(),
              score.crossEntropy(),
              truth.mean(),
              oracle.macs(choice)));
    }
    Files.write(run.resolve(name + ".tsv"), rows);
  }

  private record Progress(long start) implements SearchObserver {
    @Override
    public void step(
        long done,
        long total,
        int epoch,
        String phase,
        double loss,
        double accuracy,
        double latencyMs) {
      if (done % 50 == 0) {
        System.err.printf(
            Locale.ROOT,
            "%5.0f s %s step %d of %d, epoch %d, loss %.3f, accuracy %.3f%n",
            (System.nanoTime() - start) / 1e9,
            phase,
            done,
            total,
            epoch,
            loss,
            accuracy);
      }
    }

    @Override
    public void evaluated(int done, int total, Score score) {
      if (done % 20 == 0) {
        System.err.printf(
            Locale.ROOT,
            "%5.0f s %d of %d scored%n",
            (System.nanoTime() - start) / 1e9,
            done,
            total);
      }
    }
  }
}
