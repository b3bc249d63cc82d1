package io.fbnet.nas.measure;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.Statistics;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.DoubleSupplier;
import java.util.stream.IntStream;

/**
 * Measures a space's latency table, and whole networks to check what the table's sums are worth.
 *
 * <p>Each distinct block is timed at its real shape twice: in a row, and one run at a time in turn
 * with all others, since in a large network a block's weights come from far caches. A block by
 * itself also pays for being started, which a layer inside a network does not. How these make up a
 * layer's time is settled on a few random whole networks ({@link Additivity}), and the table holds
 * what comes out of it. Every program is warmed up first; figures are medians, taken in units of a
 * {@link Yardstick} timed a moment before; a GPU takes times by its own clock.
 */
public final class LatencyMeter {
  /** Counts how measuring has changed: tables of different protocols may differ by some percent. */
  public static final int PROTOCOL = 3;

  private static final int ROUNDS = 5;
  private static final int PASSES = 5;
  private static final int NETWORK_ROUNDS = 3;
  private static final int FIT_NETWORKS = 24;
  private static final long FIT_SEED = 2025;
  private static final int FIRST_PROGRAMS = 4;
  private static final double TURNS_SECONDS = 6;
  private static final int LEAST_TURNS = 3;
  private static final int MOST_TURNS = 20;

  private final Backend backend;
  private final int batch;

  /** Told after each piece of work. */
  public interface Progress {
    /** Is told nothing. */
    Progress NONE = (done, total, what) -> {};

    /**
     * Takes note.
     *
     * @param done pieces
     * @param total pieces in all
     * @param what is being done
     */
    void at(int done, int total, String what);
  }

  /**
   * Measures on a device.
   *
   * @param backend the device, the caller's
   * @param batch images a run
   */
  public LatencyMeter(Backend backend, int batch) {
    this.backend = backend;
    this.batch = batch;
  }

  /**
   * Measures a table: absolute milliseconds, stem, head and classifier in the fixed part.
   *
   * @param space whose blocks are timed
   * @param progress told of each
   * @return the table
   */
  public LatencyTable measure(SearchSpace space, Progress progress) {
    Map<Work, TimedProgram> blocks = new LinkedHashMap<>();
    List<TimedProgram> fixed = new ArrayList<>();
    try (Yardstick yardstick = new Yardstick(backend, space, batch)) {
      fixed.add(new TimedProgram(backend, ArchitectureGraphs.stem(space, batch)));
      fixed.add(new TimedProgram(backend, ArchitectureGraphs.head(space, batch)));
      for (LayerSpec layer : space.layers()) {
        for (Block block : space.blocks()) {
          if (!Work.none(layer, block)) {
            blocks.computeIfAbsent(
                Work.of(layer, block),
                key ->
                    new TimedProgram(
                        backend, ArchitectureGraphs.block(space, layer, block, batch)));
          }
        }
      }
      List<TimedProgram> all = new ArrayList<>(fixed);
      all.addAll(blocks.values());
      int total = 2 * all.size() + FIT_NETWORKS;
      time(all, yardstick, progress, total);
      // Their times stay; the networks need the memory.
      all.forEach(TimedProgram::close);
      List<Architecture> networks = random(space);
      double[] whole =
          whole(
              networks,
              yardstick,
              (done, of, what) -> progress.at(2 * all.size() + done, total, what));
      return table(space, fixed, blocks, networks, whole, yardstick.level());
    } finally {
      fixed.forEach(TimedProgram::close);
      blocks.values().forEach(TimedProgram::close);
    }
  }

  private static void time(
      List<TimedProgram> programs, Yardstick yardstick, Progress progress, int total) {
    int done = 0;
    for (TimedProgram program : programs) {
      program.warmUp(done < FIRST_PROGRAMS);
      progress.at(++done, total, "warm-up");
    }
    long start = System.nanoTime();
    programs.forEach(program -> program.once(yardstick.now()));
    double seconds = (System.nanoTime() - start) / 1e9;
    int turns = (int) Math.clamp(TURNS_SECONDS / ROUNDS / seconds, LEAST_TURNS, MOST_TURNS);
    // In rounds, so that a slow second of the machine does not fall on one kind of sample alone.
    for (int round = 0; round < ROUNDS; round++) {
      programs.forEach(program -> program.round(yardstick.now()));
      for (int turn = 0; turn < turns; turn++) {
        programs.forEach(program -> program.once(yardstick.now()));
      }
      progress.at(done + programs.size() * (round + 1) / ROUNDS, total, "blocks");
    }
  }

  /** Networks to settle the scale on. */
  private static List<Architecture> random(SearchSpace space) {
    Theta uniform = Theta.uniform(space);
    return IntStream.range(0, FIT_NETWORKS)
        .mapToObj(i -> Architecture.of("", space, uniform.sample(FIT_SEED, i)))
        .toList();
  }

  private LatencyTable table(
      SearchSpace space,
      List<TimedProgram> fixed,
      Map<Work, TimedProgram> blocks,
      List<Architecture> networks,
      double[] whole,
      double unit) {
    int layers = space.layerCount();
    int candidates = space.blocks().size();
    double[][] warm = new double[layers][candidates];
    double[][] cold = new double[layers][candidates];
    double[][] spread = new double[layers][candidates];
    for (LayerSpec layer : space.layers()) {
      for (int k = 0; k < candidates; k++) {
        Block block = space.blocks().get(k);
        if (!Work.none(layer, block)) {
          TimedProgram part = blocks.get(Work.of(layer, block));
          warm[layer.index()][k] = unit * Statistics.median(part.warm());
          cold[layer.index()][k] = unit * Statistics.median(part.cold());
          spread[layer.index()][k] = Statistics.relativeSpread(part.warm());
        }
      }
    }
    double fixedWarm = 0;
    double fixedCold = 0;
    double fixedSpread = 0;
    for (TimedProgram part : fixed) {
      double median = unit * Statistics.median(part.warm());
      fixedWarm += median;
      fixedCold += unit * Statistics.median(part.cold());
      fixedSpread += median * Statistics.relativeSpread(part.warm());
    }
    double[] warmSums = new double[networks.size()];
    double[] coldSums = new double[networks.size()];
    double[] parts = new double[networks.size()];
    for (int i = 0; i < parts.length; i++) {
      warmSums[i] = fixedWarm;
      coldSums[i] = fixedCold;
      parts[i] = fixed.size();
      int[] choice = networks.get(i).choice();
      for (int l = 0; l < layers; l++) {
        warmSums[i] += warm[l][choice[l]];
        coldSums[i] += cold[l][choice[l]];
        parts[i] += warm[l][choice[l]] > 0 ? 1 : 0;
      }
    }
    double[] wholeMs = Arrays.stream(whole).map(units -> units * unit).toArray();
    Additivity fit = Additivity.fit(warmSums, coldSums, parts, wholeMs);
    double[][] ms = new double[layers][candidates];
    for (int l = 0; l < layers; l++) {
      for (int k = 0; k < candidates; k++) {
        ms[l][k] = warm[l][k] == 0 ? 0 : fit.inside(warm[l][k], cold[l][k], 1);
      }
    }
    return LatencyTable.builder(backend.device(), space)
        .fixed(fit.inside(fixedWarm, fixedCold, fixed.size()))
        .fixedSpread(fixedSpread / fixedWarm)
        .layers(ms)
        .spread(spread)
        .yardstick(unit)
        .relative(false)
        .validated(
            String.format(
                Locale.ROOT,
                "sums were fitted to %d random whole networks, mean relative error there %.1f%%;"
                    + " 'fbnet latency verify' measures others",
                whole.length,
                100 * fit.error()))
        .origin(
            String.format(
                Locale.ROOT,
                "measured by fbnet latency measure: %.3f times a block in a row and %.3f times in"
                    + " turn with others, less %.4f ms",
                fit.warm(),
                fit.cold(),
                fit.start()))
        .fingerprint(fingerprint())
        .build();
  }

  /** {@return the conditions under which this meter measures} */
  public Fingerprint fingerprint() {
    Map<String, String> print = backend.fingerprint();
    Map<String, String> libraries = new LinkedHashMap<>();
    for (String library : new String[] {"oneDNN", "driver", "cuBLASLt", "cuDNN"}) {
      if (print.containsKey(library)) {
        libraries.put(library, print.get(library));
      }
    }
    return Fingerprint.of(
        print.getOrDefault("processor", backend.device()),
        Integer.parseInt(print.get("threads")),
        libraries,
        print.get("precision"),
        batch,
        LocalDate.now(java.time.ZoneOffset.UTC).toString());
  }

  /**
   * A table's sums beside whole networks.
   *
   * @param predicted the table's sums, ms
   * @param measured medians of whole networks, ms
   * @param repeated the same measured once more
   * @param drift how many times as long a fixed network takes now as while the table was measured;
   *     1 where the table does not say
   */
  @SuppressWarnings("ArrayRecordComponent") // A carrier of three columns, never compared.
  public record Verification(
      double[] predicted, double[] measured, double[] repeated, double drift) {
    /** {@return the mean of |predicted - measured| / measured} */
    public double meanRelativeError() {
      return Statistics.meanRelativeError(predicted, measured);
    }

    /** {@return the same where the machine were as fast as while the table was measured} */
    public double steadyError() {
      return Statistics.meanRelativeError(
          Arrays.stream(predicted).map(ms -> ms * drift).toArray(), measured);
    }

    /** {@return Kendall's tau of sums against whole networks} */
    public double tau() {
      return Statistics.kendallTau(predicted, measured);
    }

    /**
     * {@return Kendall's tau of two measurements of the same networks: the best one can hope for}
     */
    public double repeatedTau() {
      return Statistics.kendallTau(measured, repeated);
    }
  }

  /**
   * {@return the median time of one whole network, ms}
   *
   * @param network to be timed
   */
  public double measure(Architecture network) {
    List<Double> times = new ArrayList<>();
    for (int pass = 0; pass < PASSES; pass++) {
      times.addAll(once(network, pass == 0, () -> 1));
    }
    return Statistics.median(times);
  }

  /**
   * Measures whole networks twice, each time from the start.
   *
   * @param table whose sums are to be judged
   * @param networks of the table's space, two or more
   * @param progress told of each network
   * @return sums beside measurements
   */
  public Verification verify(LatencyTable table, List<Architecture> networks, Progress progress) {
    double[] predicted = networks.stream().mapToDouble(table::latencyOf).toArray();
    int n = networks.size();
    try (Yardstick yardstick = new Yardstick(backend, networks.getFirst().space(), batch)) {
      double[] first =
          whole(networks, yardstick, (done, of, what) -> progress.at(done, 2 * n, what));
      double[] again =
          whole(networks, yardstick, (done, of, what) -> progress.at(n + done, 2 * n, what));
      double unit = yardstick.level();
      for (int i = 0; i < n; i++) {
        first[i] *= unit;
        again[i] *= unit;
      }
      double drift = table.yardstick().isPresent() ? unit / table.yardstick().getAsDouble() : 1;
      return new Verification(predicted, first, again, drift);
    }
  }

  /**
   * Medians of whole networks in yardsticks. Each is compiled anew in every pass, since where its
   * memory comes to lie shifts a compilation's times.
   */
  private double[] whole(List<Architecture> networks, Yardstick yardstick, Progress progress) {
    int n = networks.size();
    List<List<Double>> times = new ArrayList<>();
    networks.forEach(network -> times.add(new ArrayList<>()));
    for (int pass = 0; pass < PASSES; pass++) {
      for (int i = 0; i < n; i++) {
        times.get(i).addAll(once(networks.get(i), false, yardstick::now));
        progress.at((pass * n + i + 1) / PASSES, n, "whole networks");
      }
    }
    return times.stream().mapToDouble(Statistics::median).toArray();
  }

  /** Times of one compilation, in units. */
  private List<Double> once(Architecture network, boolean first, DoubleSupplier unit) {
    try (TimedProgram program =
        new TimedProgram(backend, ArchitectureGraphs.inference(network, batch))) {
      program.warmUp(first);
      for (int round = 0; round < NETWORK_ROUNDS; round++) {
        program.round(unit.getAsDouble());
      }
      return Arrays.stream(program.warm()).boxed().toList();
    }
  }
}
