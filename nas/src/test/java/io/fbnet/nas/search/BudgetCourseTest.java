package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.program.Devices;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The course that a budget's weight takes depends on steps alone: not on when a device's results
 * arrive, nor on where a run was stopped.
 */
class BudgetCourseTest {
  private static final long SEED = 20261129L;
  private static final int BATCH = 8;

  @TempDir private Path folder;
  private final List<String> warnings = new ArrayList<>();
  private boolean older;

  private List<ObjectNode> search(Backend backend, String name, long... stops) throws IOException {
    SearchSpace space = TinySearch.space();
    LatencyTable table = TinySearch.table(space);
    Budget budget = TinySearch.budget(space, table);
    SearchSettings settings =
        SearchSettings.paper()
            .seed(SEED)
            .epochs(2)
            .warmupEpochs(0)
            .batch(BATCH)
            .trainImages(10 * BATCH)
            .rate(0.01)
            .thetaRate(0.05)
            .thetaSchedule(SearchSettings.ThetaSchedule.COSINE)
            .tau(5, 0.5)
            .build();
    Path root = folder.resolve(name);
    try (Dataset data = DataSource.open(TinySearch.shapes())) {
      for (int i = 0; i <= stops.length; i++) {
        long steps = i < stops.length ? stops[i] : Long.MAX_VALUE;
        TinySearch.StopAfter observer = new TinySearch.StopAfter(steps, Integer.MAX_VALUE);
        try (RunFolder run = i == 0 ? RunFolder.create(root) : RunFolder.open(root);
            Search search = new Search(backend, data, space, table, budget, settings)) {
          if (i > 0) {
            if (older) {
              forgetTheTemperature(root);
            }
            assertTrue(search.restore(run, warnings::add));
          }
          assertEquals(i == stops.length, search.run(run, observer), name);
          Files.writeString(root.resolve("config.yaml"), "");
        }
      }
    }
    return MetricsLog.read(root.resolve("metrics.jsonl"));
  }

  /** Makes a run one of the versions that lowered the temperature once an epoch. */
  private static void forgetTheTemperature(Path root) throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    try (DirectoryStream<Path> steps = Files.newDirectoryStream(root.resolve("checkpoints"))) {
      for (Path step : steps) {
        Path file = step.resolve("manifest.json");
        ObjectNode manifest = (ObjectNode) mapper.readTree(file.toFile());
        assertTrue(((ObjectNode) manifest.path("state")).remove("tau") != null);
        mapper.writeValue(file.toFile(), manifest);
      }
    }
  }

  @Test
  void whoGoesOnWithAnOlderRunIsToldOfTheTemperature() throws IOException {
    try (Backend backend = Devices.open("cpu")) {
      search(backend, "new", 12);
      assertEquals(List.of(), warnings);
      older = true;
      List<ObjectNode> lines = search(backend, "older", 12);
      assertEquals(1, warnings.size(), warnings.toString());
      assertTrue(warnings.getFirst().contains("temperature"), warnings.toString());
      // Each kind of step ends with the last temperature.
      for (String phase : List.of("w", "theta")) {
        double last =
            lines.stream()
                .filter(line -> line.path("phase").asText().equals(phase))
                .mapToDouble(line -> line.path("tau").asDouble())
                .min()
                .orElseThrow();
        assertEquals(0.5, last, 1e-6, phase);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda, deterministic"})
  void aBrokenRunTakesTheSameCourse(String device) throws IOException {
    try (Backend backend = Devices.open(device)) {
      List<ObjectNode> whole = search(backend, "whole");
      assertFalse(whole.isEmpty());
      // Steps 1 to 8 of an epoch of 10 train w, the others theta: within both, and at their edges.
      List<ObjectNode> broken = search(backend, "broken", 3, 8, 9, 10, 14, 19);
      for (int i = 0; i < whole.size(); i++) {
        assertEquals(whole.get(i), broken.get(i), device + ", line " + i + ", seed " + SEED);
      }
      assertEquals(whole.size(), broken.size());
    }
  }

  @Test
  void aDeviceThatRunsAheadTakesTheSameCourse() throws IOException {
    List<ObjectNode> cpu;
    List<ObjectNode> cuda;
    try (Backend backend = Devices.open("cpu")) {
      cpu = search(backend, "cpu");
    }
    try (Backend backend = Devices.open("cuda, lazy")) {
      cuda = search(backend, "cuda");
    }
    int epochs = 0;
    for (int i = 0; i < cpu.size(); i++) {
      for (String key : List.of("lambda", "lambda_macs")) {
        if (cpu.get(i).has(key)) {
          double expected = cpu.get(i).get(key).asDouble();
          assertNotEquals(0, expected, "a limit that bites");
          assertEquals(expected, cuda.get(i).get(key).asDouble(), 1e-3 * Math.abs(expected), key);
          epochs++;
        }
      }
    }
    assertEquals(4, epochs, "two weights, two epochs");
  }
}
