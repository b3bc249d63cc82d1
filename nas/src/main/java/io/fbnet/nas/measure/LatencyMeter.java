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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Measures a space's latency table, and whole networks to check what the table's sums are worth.
 *
 * <p>Each distinct block is timed at its real shape twice: in a row, and one run at a time in turn
 * with all others, since in a large network a block's weights come from far caches. A block by
 * itself also pays for being started, which a layer inside a network does not. How these make up a
 * layer's time is settled on a few random whole networks ({@link Additivity}), and the table holds
 * what comes out of it. Every program is warmed up first; figures are medians; a GPU takes times by
 * its own clock.
 */
public final class LatencyMeter {
  private static final int ROUNDS = 5;
  private static final int PASSES = 5;
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
   * @param batch images a run
   */
  public LatencyMeter(Backend backend, int batch) {
    this.backend = backend;
    this.batch = batch;
  }

  /** Measures a table: absolute milliseconds, stem, head and classifier in the fixed part. */
  public LatencyTable measure(SearchSpace space, Progress progress) {
    Map<Work, TimedProgram> blocks = new LinkedHashMap<>();
    List<TimedProgram> fixed = new ArrayList<>();
    try {
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
      time(all, progress, total);
      // Their times stay; the networks need the memory.
      all.forEach(TimedProgram::close);
      List<Architecture> networks = random(space);
      double[] whole =
          whole(
              networks, true, (done, of, what) -> progress.at(2 * all.size() + done, total, what));
      return table(space, fixed, blocks, networks, whole);
    } finally {
      fixed.forEach(TimedProgram::close);
      blocks.values().forEach(TimedProgram::close);
    }
  }

  private static void time(List<TimedProgram> programs, Progress progress, int total) {
    int done = 0;
    for (TimedProgram program : programs) {
      program.warmUp(done < FIRST_PROGRAMS);
      progress.at(++done, total, "warm-up");
    }
    long start = System.nanoTime();
    programs.forEach(TimedProgram::once);
    double seconds = (System.nanoTime() - start) / 1e9;
    int turns = (int) Math.clamp(TURNS_SECONDS / ROUNDS / seconds, LEAST_TURNS, MOST_TURNS);
    // In rounds, so that a slow second of the machine does not fall on one kind of sample alone.
    for (int round = 0; round < ROUNDS; round++) {
      programs.forEach(TimedProgram::round);
      for (int turn = 0; turn < turns; turn++) {
        programs.forEach(TimedProgram::once);
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
      double[] whole) {
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
          warm[layer.index()][k] = Statistics.median(part.warm());
          cold[layer.index()][k] = Statistics.median(part.cold());
          spread[layer.index()][k] = Statistics.relativeSpread(part.warm());
        }
      }
    }
    double fixedWarm = 0;
    double fixedCold = 0;
    double fixedSpread = 0;
    for (TimedProgram part : fixed) {
      double median = Statistics.median(part.warm());
      fixedWarm += median;
      fixedCold += Statistics.median(part.cold());
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
    Additivity fit = Additivity.fit(warmSums, coldSums, parts, whole);
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
        .relative(false)
        .validated(
            "sums were fitted to %d random whole networks, mean relative error there %.1f%%; 'fbnet latency verify' measures others"
                .formatted(whole.length, 100 * fit.error()))
        .origin(
            "measured by fbnet latency measure: %.3f times a block in a row and %.3f times in turn with others, less %.4f ms"
                .formatted(fit.warm(), fit.cold(), fit.start()))
        .fingerprint(fingerprint())
        .build();
  }

  /** The conditions under which this meter measures. */
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
   */
  @SuppressWarnings("ArrayRecordComponent") // A carrier of three columns, never compared.
  public record Verification(double[] predicted, double[] measured, double[] repeated) {
    /** The mean of |predicted - measured| / measured. */
    public double meanRelativeError() {
      return Statistics.meanRelativeError(predicted, measured);
    }

    /** Kendall's tau of sums against whole networks. */
    public double tau() {
      return Statistics.kendallTau(predicted, measured);
    }

    /** Kendall's tau of two measurements of the same networks: the best that can be hoped for. */
    public double repeatedTau() {
      return Statistics.kendallTau(measured, repeated);
    }
  }

  /** The median time of one whole network, in milliseconds. */
  public double measure(Architecture network) {
    return whole(List.of(network), true, Progress.NONE)[0];
  }

  /** Measures whole networks twice, each time from the start. */
  public Verification verify(LatencyTable table, List<Architecture> networks, Progress progress) {
    double[] predicted = networks.stream().mapToDouble(table::latencyOf).toArray();
    int n = networks.size();
    double[] first = whole(networks, true, (done, of, what) -> progress.at(done, 2 * n, what));
    double[] again = whole(networks, false, (done, of, what) -> progress.at(n + done, 2 * n, what));
    return new Verification(predicted, first, again);
  }

  /**
   * Medians of whole networks in ms. Each network is compiled anew in every pass: where its memory
   * comes to lie and what the machine does meanwhile shift a compilation's times by more than
   * random networks differ.
   *
   * @param cold whether Java has run no network before
   */
  private double[] whole(List<Architecture> networks, boolean cold, Progress progress) {
    int n = networks.size();
    List<List<Double>> samples = new ArrayList<>();
    networks.forEach(network -> samples.add(new ArrayList<>()));
    for (int pass = 0; pass < PASSES; pass++) {
      for (int i = 0; i < n; i++) {
        try (TimedProgram program =
            new TimedProgram(backend, ArchitectureGraphs.inference(networks.get(i), batch))) {
          program.warmUp(cold && pass == 0 && i < FIRST_PROGRAMS);
          program.round();
          for (double ms : program.warm()) {
            samples.get(i).add(ms);
          }
        }
        progress.at((pass * n + i + 1) / PASSES, n, "whole networks");
      }
    }
    return samples.stream()
        .mapToDouble(s -> Statistics.median(s.stream().mapToDouble(Double::doubleValue).toArray()))
        .toArray();
  }
}
