package io.fbnet.nas.search;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.Evaluator;
import io.fbnet.nas.train.Evaluation;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps of single paths move the blocks of these paths alone, and one program scores any. */
class PathStepsTest {
  private static final long SEED = 20261128L;
  private static final int BATCH = 8;

  private static SearchSpace space() {
    return TinySearch.space().withSkips(SearchSpace.SkipRule.NOT_FIRST);
  }

  private static Dataset shapes() {
    return DataSource.open(TinySearch.shapes());
  }

  private static BatchLoader loader(Dataset data, int images) {
    return BatchLoader.over(data.train(), Splits.subset(data.train(), images, 1))
        .batchSize(BATCH)
        .build();
  }

  /** The paths of a step where nothing is asked of theta. */
  private static List<int[]> paths(PathSampling sampling, SearchSpace space, long step) {
    return new PathSampler(sampling, space, SEED).paths(Theta.uniform(space), step);
  }

  @ParameterizedTest
  @EnumSource
  void pathsAreOnesThatTheSpaceAllows(PathSampling sampling) {
    SearchSpace space = space();
    boolean[][] allowed = space.allowed();
    Set<String> seen = new HashSet<>();
    for (int step = 0; step < 50; step++) {
      List<int[]> paths = paths(sampling, space, step);
      for (int[] path : paths) {
        for (int l = 0; l < path.length; l++) {
          assertTrue(allowed[l][path[l]], sampling + ", seed " + SEED + ", step " + step);
        }
        seen.add(Arrays.toString(path));
      }
      assertEquals(paths(sampling, space, 0).size(), paths.size());
    }
    assertTrue(seen.size() > 20, sampling + " draws others in other steps: " + seen.size());
  }

  @Test
  void fairPathsTakeEveryCandidateOnce() {
    SearchSpace space = space();
    boolean[][] allowed = space.allowed();
    List<int[]> paths = paths(PathSampling.FAIR, space, 3);
    for (int l = 0; l < allowed.length; l++) {
      Set<Integer> taken = new HashSet<>();
      for (int[] path : paths) {
        taken.add(path[l]);
      }
      int open = 0;
      for (boolean may : allowed[l]) {
        open += may ? 1 : 0;
      }
      assertEquals(open, taken.size(), "layer " + l);
    }
  }

  @Test
  void uniformPathsTakeEveryCandidateAsOften() {
    SearchSpace space = space();
    int candidates = space.blocks().size();
    int[] counts = new int[candidates];
    int steps = 900 * candidates;
    for (int step = 0; step < steps; step++) {
      counts[paths(PathSampling.UNIFORM, space, step).getFirst()[1]]++;
    }
    for (int count : counts) {
      // Five standard deviations.
      assertEquals(900, count, 5 * Math.sqrt(900), "seed " + SEED);
    }
  }

  private static Map<String, float[]> values(ParameterStore store, Graph graph) {
    Map<String, float[]> values = new LinkedHashMap<>();
    for (String set : PathGraphs.weightSets(graph)) {
      values.put(set, store.readAll(set, Storage.Flat.VALUES));
    }
    return values;
  }

  private static Set<String> setsOf(SearchSpace space, List<int[]> paths) {
    Set<String> sets = new HashSet<>(Set.of(NetworkBuilder.WEIGHTS));
    for (int[] path : paths) {
      for (int l = 0; l < path.length; l++) {
        sets.add(
            NetworkBuilder.WEIGHTS + ".layers." + l + "." + space.blocks().get(path[l]).name());
      }
    }
    return sets;
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void aStepMovesTheBlocksOfItsPathsAlone(String device) {
    SearchSpace space = space();
    try (Backend backend = Devices.open(device);
        Dataset data = shapes()) {
      Graph graph =
          new PathGraphs(space, data.normalisation(), true).training(BATCH, 0.9, 1e-3, true);
      try (ParameterStore store = new ParameterStore(backend, graph.parameters());
          Program program = Program.compile(backend, graph, store);
          BatchLoader loader = loader(data, 2 * BATCH)) {
        store.initialise(SEED);
        loader.start(0, 0);
        Batch batch = loader.next();
        PathSteps steps = new PathSteps(program, path -> 0.5);
        float first = 0;
        float last = 0;
        for (PathSampling sampling : PathSampling.values()) {
          for (int step = 0; step < 4; step++) {
            Map<String, float[]> before = values(store, graph);
            List<int[]> paths = paths(sampling, space, step);
            float[][] results = steps.run(batch, paths, 0.05).await();
            backend.synchronise();
            assertEquals(1, results[1][0], "finite");
            assertEquals(500, results[3][0], 1e-3);
            assertEquals(paths.size() * BATCH, results[2].length);
            Set<String> moved = setsOf(space, paths);
            values(store, graph)
                .forEach(
                    (set, values) ->
                        assertEquals(
                            moved.contains(set),
                            !Arrays.equals(values, before.get(set)),
                            device + ", " + sampling + ", seed " + SEED + ", " + set));
          }
        }
        int[] path = paths(PathSampling.UNIFORM, space, 0).getFirst();
        for (int step = 0; step < 25; step++) {
          last = steps.run(batch, List.of(path), 0.02).await()[0][0];
          first = step == 0 ? last : first;
        }
        assertTrue(last < 0.7 * first, device + ": the loss fell from " + first + " to " + last);
      }
    }
  }

  /** Learning from a teacher that is sure of the labels is learning from the labels. */
  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void aSureTeacherIsTheLabels(String device) {
    SearchSpace space = space();
    try (Backend backend = Devices.open(device);
        Arena arena = Arena.ofConfined();
        Dataset data = shapes();
        BatchLoader loader = loader(data, BATCH)) {
      loader.start(0, 0);
      Batch batch = loader.next();
      int classes = space.classes();
      MemorySegment sure = arena.allocate(JAVA_FLOAT, (long) BATCH * classes);
      for (int n = 0; n < BATCH; n++) {
        int label = batch.labels().getAtIndex(JAVA_INT, n);
        sure.setAtIndex(JAVA_FLOAT, (long) n * classes + label, 1);
      }
      int[] path = paths(PathSampling.UNIFORM, space, 1).getFirst();
      Graph graph =
          new PathGraphs(space, data.normalisation(), true).distillation(BATCH, 0.9, 1e-3, true);
      List<float[]> gradients = new ArrayList<>();
      List<Float> losses = new ArrayList<>();
      for (int teacher = 0; teacher < 2; teacher++) {
        try (ParameterStore store = new ParameterStore(backend, graph.parameters());
            Program program = Program.compile(backend, graph, store)) {
          store.initialise(SEED);
          program.set(PathGraphs.OF_LABELS, 1.0 - teacher);
          program.set(PathGraphs.OF_TEACHER, (double) teacher);
          program.set(PathGraphs.SHARE, 1.0);
          program.set(PathGraphs.SHARE_OUTLINE, 1.0);
          program.set(PathGraphs.RATE, 0.0);
          program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
          program.write(PathGraphs.TEACHER, sure);
          BatchInputs.write(program, batch);
          program.run(Op.Phase.FIRST, path);
          losses.add(program.read("loss")[0]);
          gradients.add(store.readAll(NetworkBuilder.WEIGHTS, PathGraphs.GATHERED));
        }
      }
      String what = device + ", seed " + SEED;
      assertEquals(losses.get(0), losses.get(1), 1e-5f, what);
      assertArrayEquals(gradients.get(0), gradients.get(1), 1e-5f, what);
    }
  }

  /** The others of a step learn what the first says, not the labels. */
  @Test
  void theFirstPathTeachesTheOthers() {
    SearchSpace space = space();
    try (Backend backend = Devices.open("reference");
        Dataset data = shapes()) {
      Graph graph =
          new PathGraphs(space, data.normalisation(), true).distillation(BATCH, 0, 0, false);
      try (ParameterStore store = new ParameterStore(backend, graph.parameters());
          Program program = Program.compile(backend, graph, store);
          BatchLoader loader = loader(data, BATCH)) {
        store.initialise(SEED);
        loader.start(0, 0);
        Batch batch = loader.next();
        int[] path = paths(PathSampling.UNIFORM, space, 0).getFirst();
        PathSteps steps = new PathSteps(program, p -> 1, true);
        for (int step = 0; step < 8; step++) {
          steps.run(batch, List.of(path), 0.05).await();
        }
        // A path that is its own teacher has the entropy of what it says as its loss.
        float[][] results = steps.run(batch, List.of(path, path), 0).await();
        double entropy = 0;
        for (float p : program.read(PathGraphs.PROBABILITIES)) {
          entropy -= p * Math.log(p) / BATCH;
        }
        program.set(PathGraphs.OF_LABELS, 1.0);
        program.set(PathGraphs.OF_TEACHER, 0.0);
        BatchInputs.write(program, batch);
        program.run(Op.Phase.FIRST, path);
        double ofLabels = program.read("loss")[0];
        assertEquals((ofLabels + entropy) / 2, results[0][0], 1e-5, "seed " + SEED);
        assertTrue(Math.abs(ofLabels - entropy) > 1e-3, "else nothing was told apart");
      }
    }
  }

  /**
   * Labels and teacher alike count by the weight of each image; what is told of labels does not.
   */
  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void weightsOfImagesWeighLabelsAndTeacher(String device) {
    SearchSpace space = space();
    try (Backend backend = Devices.open(device);
        Dataset data = shapes();
        // 14 images of ten classes: some have one, some two.
        BatchLoader loader =
            BatchLoader.over(data.train(), Splits.subset(data.train(), 14, 1))
                .batchSize(BATCH)
                .balance(ClassBalance.WEIGHTS)
                .build()) {
      PathGraphs graphs = new PathGraphs(space, data.normalisation(), true).weighted(true);
      Graph graph = graphs.distillation(BATCH, 0, 0, false);
      try (ParameterStore store = new ParameterStore(backend, graph.parameters());
          Program program = Program.compile(backend, graph, store)) {
        store.initialise(SEED);
        loader.start(0, 0);
        Batch batch = loader.next();
        float[] weights = batch.weights().orElseThrow().toArray(JAVA_FLOAT);
        int[] labels = batch.labels().toArray(JAVA_INT);
        int[] path = paths(PathSampling.UNIFORM, space, 0).getFirst();
        float[][] results =
            new PathSteps(program, p -> 1, true).run(batch, List.of(path, path), 0).await();
        float[] p = program.read(PathGraphs.PROBABILITIES);
        int classes = space.classes();
        double ofLabels = 0;
        double ofTeacher = 0;
        double plain = 0;
        for (int n = 0; n < BATCH; n++) {
          double ce = -Math.log(p[n * classes + labels[n]]);
          plain += ce / BATCH;
          ofLabels += weights[n] * ce / BATCH;
          for (int c = 0; c < classes; c++) {
            double own = p[n * classes + c];
            ofTeacher -= weights[n] * own * Math.log(own) / BATCH;
          }
        }
        String what = device + ", seed " + SEED;
        assertEquals((ofLabels + ofTeacher) / 2, results[0][0], 1e-4, what);
        assertEquals(plain, results[4][0], 1e-4, what);
        assertTrue(Math.abs(plain - ofLabels) > 1e-2, what + ": else nothing was told apart");
      }
    }
  }

  /** A path that both of a step take moves by the sum of both gradients, once. */
  @Test
  void equalPathsMoveTheirBlocksOnce() {
    SearchSpace space = space();
    try (Backend backend = Devices.open("reference");
        Dataset data = shapes()) {
      Graph graph = new PathGraphs(space, data.normalisation(), true).training(BATCH, 0, 0, false);
      float[] once = new float[0];
      for (int count : new int[] {1, 2}) {
        try (ParameterStore store = new ParameterStore(backend, graph.parameters());
            Program program = Program.compile(backend, graph, store);
            BatchLoader loader = loader(data, BATCH)) {
          store.initialise(SEED);
          loader.start(0, 0);
          int[] path = paths(PathSampling.UNIFORM, space, 0).getFirst();
          float[] start = store.readAll(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES);
          new PathSteps(program, p -> 1)
              .run(loader.next(), java.util.Collections.nCopies(count, path), 0.1)
              .await();
          float[] moved = store.readAll(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES);
          assertFalse(Arrays.equals(start, moved));
          if (count == 1) {
            once = moved;
          } else {
            // What all paths share takes the mean of the two equal gradients.
            assertArrayEquals(once, moved, 1e-6f);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void aScoreIsThatOfTheNetworkByItself(String device) {
    SearchSpace space = space();
    try (Backend backend = Devices.open(device);
        Dataset data = shapes()) {
      SearchSettings settings =
          SearchSettings.paper()
              .seed(SEED)
              .epochs(1)
              .warmupEpochs(0)
              .batch(BATCH)
              .trainImages(30 * BATCH)
              .build();
      LatencyTable table = TinySearch.table(space);
      try (Search search = new Search(backend, data, space, table, Budget.NONE, settings);
          ArchitectureScorer scorer = search.scorer()) {
        Splits splits = search.loop().splits();
        for (int step = 0; step < 3; step++) {
          int[] path = paths(PathSampling.UNIFORM, space, step).getFirst();
          Architecture network = Architecture.of("", search.space(), path);
          Evaluator.Judgement score = scorer.judge(path);
          Evaluation apart = apart(search, network, splits);
          String what = device + ", seed " + SEED + ", path " + Arrays.toString(path);
          assertEquals(apart.crossEntropy(), score.crossEntropy(), 1e-5, what);
          assertEquals(apart.accuracy(), score.accuracy(), 1e-9, what);
        }
      }
    }
  }

  /** By programs of the network alone. */
  private static Evaluation apart(Search search, Architecture network, Splits splits) {
    ParameterStore store = search.supernet().store();
    Dataset data = search.data();
    try (Program calibrate =
            Program.compileFixed(
                search.backend(),
                ArchitectureGraphs.recalibration(network, BATCH, data.normalisation()),
                store);
        Program evaluate =
            Program.compileFixed(
                search.backend(),
                ArchitectureGraphs.evaluation(network, BATCH, data.normalisation()),
                store);
        BatchLoader loader =
            BatchLoader.over(data.train(), splits.first())
                .batchSize(BATCH)
                .random(SEED, 3)
                .shuffle(true)
                .dropLast(true)
                .build();
        BatchLoader scored =
            BatchLoader.over(data.train(), splits.second()).batchSize(BATCH).build()) {
      loader.start(0, 0);
      for (int i = 0; i < Math.min(20, loader.batches()); i++) {
        BatchInputs.writeImages(calibrate, loader.next());
        calibrate.set(NetworkBuilder.NORM_MOMENTUM, 1.0 / (i + 1));
        calibrate.run();
      }
      search.backend().synchronise();
      return Evaluation.of(evaluate, scored);
    }
  }
}
