package io.fbnet.nas.search;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.Devices;
import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.examples.HillClimb;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Problem;
import io.fbnet.nas.strategy.Strategy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every strategy ends with a network within the budget, and goes on exactly where it stopped. */
class StrategiesTest {
  private static final long SEED = 20261128L;
  private static final int BATCH = 8;
  private static final int EVALUATIONS = 7;

  @TempDir private Path folder;

  static Stream<SearchStrategy> strategies() {
    List<SearchStrategy> all =
        new ArrayList<>(
            List.of(
                SearchStrategy.FBNET,
                SearchStrategy.DARTS,
                SearchStrategy.DARTS2,
                SearchStrategy.GDAS,
                SearchStrategy.TF_NAS,
                SearchStrategy.singlePath(PathSampling.FAIR),
                HillClimb.STRATEGY));
    for (Strategy strategy : Strategy.values()) {
      all.add(
          SearchStrategy.byPaths(
              strategy.word(),
              strategy == Strategy.RNN ? PathSampling.SANDWICH : PathSampling.UNIFORM,
              strategy::begin));
    }
    return all.stream();
  }

  /** What a search leaves. */
  private record Left(
      List<ObjectNode> steps, List<ObjectNode> evaluations, Course cost, Selection found) {}

  private static SearchSettings settings() {
    return SearchSettings.paper()
        .seed(SEED)
        .epochs(2)
        .warmupEpochs(0)
        .batch(BATCH)
        .trainImages(10 * BATCH)
        .rate(0.01)
        .thetaRate(0.05)
        .build();
  }

  private Left search(SearchStrategy strategy, String name, TinySearch.StopAfter... stops)
      throws IOException {
    SearchSpace space = TinySearch.space();
    LatencyTable table = TinySearch.table(space);
    SearchSettings settings = settings();
    Path root = folder.resolve(name);
    Selection found = null;
    try (Backend backend = Devices.open("cpu");
        Dataset data = DataSource.open(TinySearch.shapes())) {
      for (int i = 0; i <= stops.length; i++) {
        TinySearch.StopAfter observer =
            i < stops.length
                ? stops[i]
                : new TinySearch.StopAfter(Long.MAX_VALUE, Integer.MAX_VALUE);
        try (RunFolder run = i == 0 ? RunFolder.create(root) : RunFolder.open(root);
            Search search =
                new Search(
                    backend,
                    data,
                    space,
                    table,
                    TinySearch.budget(space, table),
                    settings,
                    strategy)) {
          if (i > 0) {
            assertTrue(search.restore(run, warning -> {}));
          }
          boolean through = search.run(run, observer);
          if (through && strategy.trainsTheta()) {
            found = search.select(EVALUATIONS);
          } else if (through) {
            found =
                search
                    .explore(
                        strategy.name(),
                        strategy.controller().orElseThrow(),
                        run.files().evaluations(),
                        EVALUATIONS,
                        observer)
                    .orElse(null);
          }
          assertEquals(i == stops.length, found != null, name);
          Files.writeString(root.resolve("config.yaml"), "");
        }
      }
    }
    return new Left(
        MetricsLog.read(root.resolve("metrics.jsonl")),
        MetricsLog.read(root.resolve("evaluations.jsonl")),
        Course.read(root.resolve("cost.jsonl")),
        found);
  }

  @ParameterizedTest
  @MethodSource("strategies")
  void aBrokenSearchIsTheWholeOne(SearchStrategy strategy) throws IOException {
    String what = strategy.name() + ", seed " + SEED;
    Left whole = search(strategy, "whole");
    TinySearch.StopAfter[] stops =
        strategy.trainsTheta()
            ? new TinySearch.StopAfter[] {
              // Where theta's steps stand between those of w, one of them comes next.
              new TinySearch.StopAfter(strategy.thetaEvery() == 0 ? 3 : 2, 0),
              new TinySearch.StopAfter(12, 0)
            }
            : new TinySearch.StopAfter[] {
              new TinySearch.StopAfter(3, 0),
              new TinySearch.StopAfter(99, 2),
              new TinySearch.StopAfter(99, EVALUATIONS - 1)
            };
    Left broken = search(strategy, "broken", stops);
    assertEquals(whole.steps(), broken.steps(), what);
    assertEquals(whole.evaluations(), broken.evaluations(), what);
    assertEquals(strategy.trainsTheta(), whole.evaluations().isEmpty(), what);
    assertEquals(whole.cost().macs(), broken.cost().macs(), what);
    assertEquals(whole.cost().scored(), broken.cost().scored(), what);
    assertEquals(whole.found().drawn().size(), whole.cost().scored().size(), what);
    assertTrue(whole.cost().seconds() > 0, what);
    double counted = counted(strategy, whole.found());
    // Paths drawn from a theta that moves are known only to the search.
    assertEquals(Double.isNaN(counted) ? whole.cost().macs() : counted, whole.cost().macs(), what);
    assertArrayEquals(
        whole.found().architecture().choice(), broken.found().architecture().choice(), what);
    SearchSpace space = TinySearch.space();
    Budget budget = TinySearch.budget(space, TinySearch.table(space));
    for (ArchitectureScorer.Score score : whole.found().drawn()) {
      assertTrue(budget.met(score.architecture().choice()), what);
    }
    assertFalse(whole.found().drawn().isEmpty(), what);
  }

  @Test
  void aRunOfAnOlderVersionKeepsItsTurns() throws IOException {
    SearchSpace space = TinySearch.space();
    LatencyTable table = TinySearch.table(space);
    List<String> warnings = new ArrayList<>();
    Path root = folder.resolve("older");
    for (boolean begun : new boolean[] {false, true}) {
      try (Backend backend = Devices.open("cpu");
          Dataset data = DataSource.open(TinySearch.shapes());
          RunFolder run = begun ? RunFolder.open(root) : RunFolder.create(root);
          Search search =
              new Search(
                  backend,
                  data,
                  space,
                  table,
                  TinySearch.budget(space, table),
                  settings(),
                  SearchStrategy.TF_NAS)) {
        if (begun) {
          assertTrue(search.restore(run, warnings::add));
          assertEquals(20, search.loop().totalSteps());
        } else {
          assertEquals(24, search.loop().totalSteps());
        }
        int stop = begun ? Integer.MAX_VALUE : 1;
        assertEquals(begun, search.run(run, new TinySearch.StopAfter(stop, Integer.MAX_VALUE)));
      }
      Files.writeString(root.resolve("config.yaml"), "");
      try (Stream<Path> files = Files.walk(root.resolve("checkpoints"))) {
        for (Path file : files.filter(f -> f.endsWith("manifest.json")).toList()) {
          String text = Files.readString(file);
          assertTrue(text.contains("theta_every"), text);
          Files.writeString(file, text.replaceFirst(",\\s*\"theta_every\"\\s*:\\s*\\d+", ""));
        }
      }
    }
    assertEquals(1, warnings.stream().filter(w -> w.contains("second half of each")).count());
    StringBuilder phases = new StringBuilder();
    for (ObjectNode line : MetricsLog.read(root.resolve("metrics.jsonl"))) {
      phases.append(line.path("phase").asText().charAt(0));
    }
    assertEquals("wwwwwwwwttewwwwwwwwtte", phases.toString());
  }

  /** Multiply-adds of such a search, counted from what it did. */
  private static double counted(SearchStrategy strategy, Selection found) {
    SearchSpace space = TinySearch.space();
    int[] images = {8 * BATCH, 2 * BATCH};
    try (Dataset data = DataSource.open(TinySearch.shapes())) {
      SearchSettings settings = settings();
      SearchCosts costs = new SearchCosts(data, Search.fitted(space, data), settings, strategy);
      long epochs = settings.epochs();
      double sum = 0;
      if (strategy.sampling().isEmpty()) {
        sum += epochs * (images[0] / BATCH) * (double) costs.weightStep();
      } else if (strategy.sampling().orElseThrow().readsTheta()) {
        return Double.NaN;
      } else {
        PathSampler sampler =
            new PathSampler(strategy.sampling().orElseThrow(), space, settings.seed());
        for (long step = 0; step < epochs * (images[0] / BATCH); step++) {
          for (int[] path : sampler.paths(null, step)) {
            sum += costs.path(path);
          }
        }
      }
      if (strategy.trainsTheta()) {
        sum += epochs * (images[1] / BATCH) * costs.thetaStep();
      }
      for (ArchitectureScorer.Score score : found.drawn()) {
        sum += costs.scoring(score.architecture().choice());
      }
      return sum;
    }
  }

  @Test
  void anotherSearchsEvaluationsAreRefused() throws IOException {
    search(SearchStrategy.singlePath(PathSampling.UNIFORM), "one");
    Path log = folder.resolve("one").resolve("evaluations.jsonl");
    List<String> lines = Files.readAllLines(log);
    for (String damaged :
        List.of(
            lines.get(1),
            lines.get(0).replaceFirst("\"choice\":\\[", "\"choice\":[99,"),
            lines.get(0).replaceFirst("\"choice\"", "\"chosen\""))) {
      Files.writeString(log, damaged + "\n");
      SearchSpace space = TinySearch.space();
      UserException e =
          assertThrows(
              UserException.class,
              () ->
                  new Exploration(
                      log,
                      space,
                      Strategy.RANDOM.begin(
                          new Problem(
                              space.allowed(),
                              new BudgetNetworks(
                                  TinySearch.budget(space, TinySearch.table(space)),
                                  space.allowed()),
                              OptionalDouble.empty(),
                              SEED))));
      assertTrue(e.getMessage().contains("evaluations.jsonl, line 1"), e.getMessage());
    }
  }

  /**
   * A block that declares a parameter of its own, in the set of what all paths share or its own.
   */
  private record Scaled(boolean ownSet) implements Block {
    @Override
    public String name() {
      return "scaled";
    }

    @Override
    public int divisor() {
      return 1;
    }

    @Override
    public Value build(BlockBuilder b, LayerSpec layer, Value x) {
      Value w =
          b.graph()
              .parameter(
                  ownSet ? b.weights() : "weights",
                  b.name("weight"),
                  true,
                  new Initial.Normal(0.1),
                  layer.outChannels(),
                  layer.inChannels(),
                  1,
                  1);
      return b.graph().convolution(x, w, layer.stride(), 1);
    }
  }

  @Test
  void whatABlockTrainsIsItsOwn() {
    for (boolean ownSet : new boolean[] {true, false}) {
      SearchSpace named = TinySearch.space();
      SearchSpace space =
          new SearchSpace(
              named.name(),
              named.input(),
              10,
              named.stem(),
              named.stages(),
              named.head(),
              List.of(BlockType.SKIP, new Scaled(ownSet)),
              true);
      Graph graph =
          new PathGraphs(space, new Normalisation(List.of(0.5f), List.of(0.25f)), true)
              .evaluation(2);
      if (ownSet) {
        PathGraphs.requireOwnSets(graph);
      } else {
        UserException e = assertThrows(UserException.class, () -> PathGraphs.requireOwnSets(graph));
        assertTrue(e.getMessage().contains("layers.0.scaled.weight"), e.getMessage());
      }
    }
  }

  @Test
  void aControllerAndPathsFromThetaDoNotGoTogether() {
    assertThrows(
        IllegalArgumentException.class,
        () -> SearchStrategy.singlePath(PathSampling.THETA_AND_UNIFORM));
  }
}
