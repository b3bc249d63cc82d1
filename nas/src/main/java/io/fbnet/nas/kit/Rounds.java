package io.fbnet.nas.kit;

import io.fbnet.nas.latency.Statistics;
import io.fbnet.nas.measure.LatencyMeter.Progress;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.LongSupplier;

/** Times things that can be loaded and run, by a {@link Protocol}. */
final class Rounds {
  private final Protocol protocol;
  private final LongSupplier nanoTime;

  /** Something loaded. */
  interface Timed extends AutoCloseable {
    /** Milliseconds of each of {@code runs} runs. */
    double[] time(int runs);

    @Override
    void close();
  }

  /** Loads what has this name. */
  interface Loader {
    Timed load(String name);
  }

  Rounds(Protocol protocol) {
    this(protocol, System::nanoTime);
  }

  Rounds(Protocol protocol, LongSupplier nanoTime) {
    this.protocol = protocol;
    this.nanoTime = nanoTime;
  }

  /**
   * Times all of them.
   *
   * @param seed of the order in each round
   * @return what was found, in the order of {@code names}
   */
  Map<String, KitResult.Time> time(
      List<String> names, Loader loader, long seed, Progress progress) {
    Map<String, List<Double>> samples = new LinkedHashMap<>();
    names.forEach(name -> samples.put(name, new ArrayList<>()));
    Random random = new Random(seed);
    int total = names.size() * protocol.rounds();
    int done = 0;
    for (int round = 1; round <= protocol.rounds(); round++) {
      List<String> order = new ArrayList<>(names);
      Collections.shuffle(order, random);
      for (String name : order) {
        try (Timed timed = loader.load(name)) {
          protocol.warmUp().run(timed::time, done == 0 ? protocol.firstWarmUpMs() : 0, nanoTime);
          for (double ms : timed.time(runs(timed))) {
            samples.get(name).add(ms);
          }
        }
        progress.at(++done, total, "round " + round + " of " + protocol.rounds());
      }
    }
    Map<String, KitResult.Time> times = new LinkedHashMap<>();
    samples.forEach((name, all) -> times.put(name, time(all)));
    return times;
  }

  private static KitResult.Time time(List<Double> samples) {
    double[] all = samples.stream().mapToDouble(Double::doubleValue).toArray();
    double median = Statistics.median(all);
    // A clock of coarse steps may give a median of nothing.
    double spread = median > 0 ? Statistics.relativeSpread(all) : 0;
    return new KitResult.Time(median, spread, all.length);
  }

  private int runs(Timed timed) {
    double first = Math.max(timed.time(1)[0], 1e-6);
    return (int) Math.clamp(protocol.roundMs() / first, protocol.leastRuns(), protocol.mostRuns());
  }
}
