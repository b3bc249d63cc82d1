package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.program.Devices;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.Activation;
import io.fbnet.nas.space.Blocks;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A search among blocks with squeeze-and-excitation and swishes is the same on every back end. */
class LaterBlocksTest {
  private static final long SEED = 20261129L;
  private static final int BATCH = 8;

  @TempDir private Path folder;

  private static SearchSpace space() {
    SearchSpace tiny = TinySearch.space();
    return new SearchSpace(
        "later",
        tiny.input(),
        tiny.classes(),
        tiny.stem(),
        tiny.stages(),
        tiny.head(),
        Stream.of(
                "k3_e3", "k3_e3_hswish", "k5_e2_se", "k3_e6_se_hswish", "k5_e1_g2_se_swish", "skip")
            .map(Blocks::parse)
            .toList(),
        true,
        SearchSpace.SkipRule.EVERYWHERE,
        Activation.HSWISH);
  }

  private List<ObjectNode> search(String device, SearchStrategy strategy, boolean lean, String name)
      throws IOException {
    SearchSpace space = space();
    LatencyTable table = TinySearch.table(space);
    SearchSettings settings =
        SearchSettings.paper()
            .seed(SEED)
            .epochs(2)
            .warmupEpochs(0)
            .batch(BATCH)
            .trainImages(5 * BATCH)
            .rate(0.01)
            .thetaRate(0.05)
            .lean(lean)
            .build();
    Path root = folder.resolve(name);
    try (Backend backend = Devices.open(device);
        Dataset data = DataSource.open(TinySearch.shapes());
        RunFolder run = RunFolder.create(root);
        Search search = new Search(backend, data, space, table, Budget.NONE, settings, strategy)) {
      assertTrue(search.run(run, new TinySearch.StopAfter(Long.MAX_VALUE, Integer.MAX_VALUE)));
    }
    return MetricsLog.read(root.resolve("metrics.jsonl"));
  }

  static Stream<Arguments> everyWay() {
    return Stream.of("cpu, 2 threads", "cuda")
        .flatMap(
            device ->
                Stream.of(
                    Arguments.of(device, SearchStrategy.FBNET, false),
                    Arguments.of(device, SearchStrategy.FBNET, true),
                    Arguments.of(device, SearchStrategy.TF_NAS, false)));
  }

  @ParameterizedTest
  @MethodSource("everyWay")
  void takesTheCourseOfTheReference(String device, SearchStrategy strategy, boolean lean)
      throws IOException {
    List<ObjectNode> expected = search("reference", strategy, false, "reference");
    List<ObjectNode> actual = search(device, strategy, lean, "other");
    assertEquals(expected.size(), actual.size());
    int steps = 0;
    for (int i = 0; i < expected.size(); i++) {
      if (expected.get(i).has("loss")) {
        double loss = expected.get(i).path("loss").asDouble();
        double there = actual.get(i).path("loss").asDouble();
        assertEquals(loss, there, 2e-3 * loss, device + ", step " + i + ", seed " + SEED);
        steps++;
      }
    }
    assertTrue(steps >= 10, steps + " steps");
  }
}
