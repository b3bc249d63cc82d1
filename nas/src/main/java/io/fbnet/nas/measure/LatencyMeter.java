package io.fbnet.nas.measure;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.Statistics;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Measures a space's latency table by running each distinct block at its real shape, and whole
 * networks to check what the table's sums are worth. Every program is warmed up first; then all are
 * timed in rounds, so that a slow second of the machine does not fall on one block alone. The
 * figure is the median of all samples; a GPU takes them by its own clock.
 */
public final class LatencyMeter {
  private static final int ROUNDS = 5;
  private static final int STEADY_WINDOWS = 3;
  private static final double STEADY_RATIO = 1.05;
  private static final long WINDOW_NANOS = 15_000_000L;
  private static final int FIRST_PROGRAMS = 4;
  private static final long FIRST_WARM_UP_NANOS = 500_000_000L;
  private static final long LONGEST_WARM_UP_NANOS = 2_000_000_000L;
  private static final long ROUND_NANOS = 8_000_000L;
  private static final int LEAST_RUNS = 3;
  private static final int MOST_RUNS = 200;

  private final Backend backend;
  private final int batch;

  /** Told after each piece of work. */
  public interface Progress {
    /** {@code done} of {@code total} pieces, now at {@code what}. */
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

  /** What makes two blocks the same work. */
  private record Key(int in, int out, int stride, int height, int width, String block) {
    static Key of(LayerSpec l, Block block) {
      return new Key(
          l.inChannels(), l.outChannels(), l.stride(), l.inHeight(), l.inWidth(), block.name());
    }
  }

  /** A compiled program, its input filled, and the times it took in milliseconds. */
  private static final class Subject implements AutoCloseable {
    private final ParameterStore store;
    private final Program program;
    private final List<Double> times = new ArrayList<>();

    Subject(Backend backend, Graph graph) {
      store = new ParameterStore(backend, graph.parameters());
      store.initialise(1);
      program = Program.compileFixed(backend, graph, store);
      Random random = new Random(1);
      for (Map.Entry<Value, Storage> entry : graph.storage().entrySet()) {
        if (entry.getValue() instanceof Storage.Input input) {
          try (Arena arena = Arena.ofConfined()) {
            long n = entry.getKey().shape().elements();
            MemorySegment host = arena.allocate(n * Float.BYTES, 64);
            for (long i = 0; i < n; i++) {
              host.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
            }
            program.write(input.name(), host);
          }
        }
      }
    }

    /**
     * Runs until three windows in a row take the same time: Java compiles what runs often step by
     * step, and its first forms are many times slower.
     *
     * @param least nanoseconds: the first programs of all wait long on a plateau for the last form
     */
    void warmUp(long least) {
      long start = System.nanoTime();
      double[] last = new double[STEADY_WINDOWS];
      for (int window = 0; ; window++) {
        last[window % STEADY_WINDOWS] = windowMedian();
        double[] sorted = last.clone();
        Arrays.sort(sorted);
        boolean steady =
            window + 1 >= STEADY_WINDOWS && sorted[STEADY_WINDOWS - 1] <= STEADY_RATIO * sorted[0];
        long passed = System.nanoTime() - start;
        if (steady && passed > least || passed > LONGEST_WARM_UP_NANOS) {
          return;
        }
      }
    }

    private double windowMedian() {
      long start = System.nanoTime();
      List<Double> window = new ArrayList<>();
      do {
        for (double ms : program.time(LEAST_RUNS)) {
          window.add(ms);
        }
      } while (System.nanoTime() - start < WINDOW_NANOS);
      return Statistics.median(window.stream().mapToDouble(Double::doubleValue).toArray());
    }

    void round() {
      double first = program.time(1)[0];
      int runs = (int) Math.clamp(ROUND_NANOS / 1e6 / first, LEAST_RUNS, MOST_RUNS);
      for (double ms : program.time(runs)) {
        times.add(ms);
      }
    }

    double[] samples() {
      return times.stream().mapToDouble(Double::doubleValue).toArray();
    }

    @Override
    public void close() {
      program.close();
      store.close();
    }
  }

  /** Measures a table: absolute milliseconds, stem, head and classifier in the fixed part. */
  public LatencyTable measure(SearchSpace space, Progress progress) {
    Map<Key, Subject> blocks = new LinkedHashMap<>();
    List<Subject> fixed = new ArrayList<>();
    try {
      fixed.add(new Subject(backend, ArchitectureGraphs.stem(space, batch)));
      fixed.add(new Subject(backend, ArchitectureGraphs.head(space, batch)));
      for (LayerSpec layer : space.layers()) {
        for (Block block : space.blocks()) {
          if (!nothing(layer, block)) {
            blocks.computeIfAbsent(
                Key.of(layer, block),
                key -> new Subject(backend, ArchitectureGraphs.block(space, layer, block, batch)));
          }
        }
      }
      List<Subject> all = new ArrayList<>(fixed);
      all.addAll(blocks.values());
      time(all, progress);
      return table(space, fixed, blocks);
    } finally {
      fixed.forEach(Subject::close);
      blocks.values().forEach(Subject::close);
    }
  }

  /** A skip that keeps the shape is the input itself: no work. */
  private static boolean nothing(LayerSpec layer, Block block) {
    return block.isSkip() && layer.keepsShape();
  }

  private static void time(List<Subject> subjects, Progress progress) {
    int total = subjects.size() * (ROUNDS + 1);
    int done = 0;
    for (Subject subject : subjects) {
      subject.warmUp(done < FIRST_PROGRAMS ? FIRST_WARM_UP_NANOS : 0);
      progress.at(++done, total, "warm-up");
    }
    for (int round = 1; round <= ROUNDS; round++) {
      for (Subject subject : subjects) {
        subject.round();
        progress.at(++done, total, "round " + round + " of " + ROUNDS);
      }
    }
  }

  private LatencyTable table(SearchSpace space, List<Subject> fixed, Map<Key, Subject> blocks) {
    int layers = space.layerCount();
    int candidates = space.blocks().size();
    double[][] ms = new double[layers][candidates];
    double[][] spread = new double[layers][candidates];
    for (LayerSpec layer : space.layers()) {
      for (int k = 0; k < candidates; k++) {
        Block block = space.blocks().get(k);
        if (!nothing(layer, block)) {
          double[] samples = blocks.get(Key.of(layer, block)).samples();
          ms[layer.index()][k] = Statistics.median(samples);
          spread[layer.index()][k] = Statistics.relativeSpread(samples);
        }
      }
    }
    double fixedMs = 0;
    double fixedSpread = 0;
    for (Subject subject : fixed) {
      double median = Statistics.median(subject.samples());
      fixedMs += median;
      fixedSpread += median * Statistics.relativeSpread(subject.samples());
    }
    return LatencyTable.builder(backend.device(), space)
        .fixed(fixedMs)
        .fixedSpread(fixedSpread / fixedMs)
        .layers(ms)
        .spread(spread)
        .relative(false)
        .validated("not validated on whole networks; 'fbnet latency verify' does that")
        .origin("measured by fbnet latency measure")
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
    try (Subject subject = new Subject(backend, ArchitectureGraphs.inference(network, batch))) {
      subject.warmUp(FIRST_WARM_UP_NANOS);
      for (int round = 0; round < ROUNDS; round++) {
        subject.round();
      }
      return Statistics.median(subject.samples());
    }
  }

  /** Measures whole networks twice, each time from the start. */
  public Verification verify(LatencyTable table, List<Architecture> networks, Progress progress) {
    double[] predicted = networks.stream().mapToDouble(table::latencyOf).toArray();
    double[][] measured = new double[2][networks.size()];
    for (int pass = 0; pass < 2; pass++) {
      for (int i = 0; i < networks.size(); i++) {
        try (Subject subject =
            new Subject(backend, ArchitectureGraphs.inference(networks.get(i), batch))) {
          subject.warmUp(pass == 0 && i < FIRST_PROGRAMS ? FIRST_WARM_UP_NANOS : 0);
          for (int round = 0; round < ROUNDS; round++) {
            subject.round();
          }
          measured[pass][i] = Statistics.median(subject.samples());
        }
        int done = pass * networks.size() + i + 1;
        progress.at(done, 2 * networks.size(), "whole networks");
      }
    }
    return new Verification(predicted, measured[0], measured[1]);
  }
}
