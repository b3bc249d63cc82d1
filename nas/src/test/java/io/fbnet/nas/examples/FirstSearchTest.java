package io.fbnet.nas.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.search.Selection;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The search of the library's page. */
class FirstSearchTest {
  @TempDir Path folder;

  @Test
  void findsANetworkAndLeavesARun() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    Path run = folder.resolve("run");
    SearchSettings settings =
        SearchSettings.small().epochs(2).warmupEpochs(1).batch(8).trainImages(160).build();
    Selection found = FirstSearch.search("shapes", settings, run);

    LatencyTable table = LatencyTable.load(run.resolve("latency.json").toString());
    double target = 4 * table.latencyOf(table.fastest());
    assertTrue(found.drawn().size() >= 1 && found.drawn().size() <= 6);
    found
        .drawn()
        .forEach(s -> assertTrue(s.latencyMs() >= 0.95 * target && s.latencyMs() <= 1.02 * target));
    assertEquals(
        found.architecture(), Architecture.load(run.resolve("architecture.json").toString()));
    assertEquals(found.best().latencyMs(), table.latencyOf(found.architecture()), 1e-9);
    // 16 steps of w an epoch, 4 of theta in the second, and a line for each epoch.
    assertEquals(38, MetricsLog.read(run.resolve("metrics.jsonl")).size());
  }
}
