package io.fbnet.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.ScalarResult;

/**
 * The most memory that a benchmark's process ever held: {@code -prof io.fbnet.bench.PeakMemory}.
 */
public final class PeakMemory implements InternalProfiler {
  @Override
  public String getDescription() {
    return "peak resident memory of the forked process, from /proc";
  }

  @Override
  public void beforeIteration(BenchmarkParams benchmark, IterationParams iteration) {
    // The system counts from the start of the process.
  }

  @Override
  public Collection<ScalarResult> afterIteration(
      BenchmarkParams benchmark, IterationParams iteration, IterationResult result) {
    return List.of(new ScalarResult("peakMiB", mebibytes(), "MiB", AggregationPolicy.MAX));
  }

  private static double mebibytes() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmHWM:")) {
          return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
        }
      }
    } catch (IOException e) {
      throw new IllegalStateException("/proc/self/status cannot be read", e);
    }
    throw new IllegalStateException("/proc/self/status does not tell the peak");
  }
}
