package io.fbnet.nas.train;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.AcrossRanks;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.engine.program.ThreadRanks;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.data.PixelType;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.FineTuning;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.TrainingStep;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockBuilder;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps of which a part of the network stays as it is, or learns more slowly. */
class FineTuningTest {
  private static final long SEED = 20261201L;
  private static final int BATCH = 4;

  /** Grouped, shape-changing and plain blocks: two layers in each of two stages. */
  private static final Architecture NETWORK =
      Architecture.of("", TinySearch.space(), new int[] {1, 2, 8, 4});

  private static final Normalisation NORMALISATION =
      new Normalisation(List.of(0.4f), List.of(0.3f));

  /** All that a step can have: gathered gradients, an average, momentum and decay. */
  private static final TrainingStep FULL =
      new TrainingStep(0.9, 1e-2, 0.1, false, false, true, true);

  private static Graph graph(TrainingStep how, FineTuning tuning, int batch) {
    return ArchitectureGraphs.training(NETWORK, batch, NORMALISATION, how, tuning);
  }

  /** Numbers as of a trained network: none is 0 or 1, variances are positive. */
  private static Map<String, float[]> tensors() {
    Random random = new Random(SEED);
    Map<String, float[]> tensors = new LinkedHashMap<>();
    TrainedNetwork.parameters(NETWORK)
        .forEach(
            spec -> {
              float[] values = new float[(int) spec.shape().elements()];
              boolean positive =
                  spec.name().endsWith("running_var") || spec.name().contains("bn.weight");
              for (int i = 0; i < values.length; i++) {
                values[i] =
                    positive ? 0.5f + random.nextFloat() : 0.3f * (float) random.nextGaussian();
              }
              tensors.put(spec.name(), values);
            });
    return tensors;
  }

  /** A compiled step on the device. */
  private static final class Step implements AutoCloseable {
    final ParameterStore store;
    final Program program;

    Step(Backend backend, Graph graph) {
      store = new ParameterStore(backend, graph.parameters());
      StoreTensors.load(store, tensors());
      program = Program.compile(backend, graph, store);
      program.set(TrainingStep.RATE, 0.05);
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
    }

    /** Images of a number; of several ranks those of one. */
    void run(int number, int rank, int ranks) {
      SearchSpace.Input in = NETWORK.space().input();
      int share = BATCH / ranks;
      byte[] images = new byte[BATCH * in.channels() * in.height() * in.width()];
      int[] labels = new int[BATCH];
      Random random = new Random(SEED + number);
      random.nextBytes(images);
      for (int i = 0; i < BATCH; i++) {
        labels[i] = random.nextInt(10);
      }
      int bytes = images.length / ranks;
      try (Arena arena = Arena.ofConfined()) {
        program.write(
            "images",
            arena.allocateFrom(
                JAVA_BYTE, Arrays.copyOfRange(images, rank * bytes, (rank + 1) * bytes)));
        program.write(
            "labels",
            arena.allocateFrom(
                JAVA_INT, Arrays.copyOfRange(labels, rank * share, (rank + 1) * share)));
        program.run();
        assertEquals(1, program.scalar("finite"));
      }
    }

    /** A full step of one batch. */
    void full(int number, int rank, int ranks) {
      program.set(TrainingStep.GATHER_KEEP, 0.0);
      program.set(TrainingStep.GATHER_SHARE, 1.0);
      program.set(TrainingStep.UPDATE, 1.0);
      program.set(TrainingStep.AVERAGE_KEEP, number == 0 ? 0.0 : 0.3);
      program.set(TrainingStep.AVERAGE_SHARE, number == 0 ? 1.0 : 0.7);
      run(number, rank, ranks);
    }

    /** What a buffer holds by name, of the sets that have it. */
    Map<String, float[]> read(String buffer) {
      Map<String, float[]> found = new LinkedHashMap<>();
      for (String set : store.sets()) {
        if (store.has(set, buffer)) {
          for (ParameterLayout.Entry entry : store.layout(set).entries()) {
            found.put(entry.spec().name(), store.read(set, buffer, entry.spec().name()));
          }
        }
      }
      return found;
    }

    @Override
    public void close() {
      program.close();
      store.close();
    }
  }

  /** Whether a tensor is of what is frozen. */
  private static boolean isFrozen(String name, int frozen) {
    return frozen > 0 && name.startsWith("stem.")
        || frozen > 1 && (name.startsWith("layers.0.") || name.startsWith("layers.1."))
        || frozen > 2 && name.startsWith("layers.");
  }

  /** Whether a norm behind it takes back what is added to all of a channel: it hardly learns. */
  private static boolean takenBack(String name) {
    return name.endsWith("project_bn.bias");
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda"})
  void whatIsFrozenStaysBitForBit(String device) {
    try (Backend backend = Devices.open(device)) {
      for (int frozen = 1; frozen <= 3; frozen++) {
        try (Step step = new Step(backend, graph(FULL, new FineTuning(frozen, 0.5), BATCH))) {
          for (int number = 0; number < 3; number++) {
            step.full(number, 0, 1);
          }
          Map<String, float[]> before = tensors();
          Map<String, float[]> after = step.read(Storage.Flat.VALUES);
          Map<String, float[]> network =
              TrainedNetwork.tensors(NETWORK, step.store, TrainingStep.AVERAGE);
          assertEquals(before.keySet(), after.keySet());
          Map<String, float[]> gradients = step.read(Storage.Flat.GRADIENTS);
          for (String name : before.keySet()) {
            String where = device + ", " + frozen + " frozen, " + name + ", seed " + SEED;
            boolean stays = isFrozen(name, frozen);
            if (stays || !takenBack(name)) {
              assertEquals(stays, Arrays.equals(before.get(name), after.get(name)), where);
              assertEquals(stays, Arrays.equals(before.get(name), network.get(name)), where);
            }
            if (!name.contains("running")) {
              assertEquals(stays, !gradients.containsKey(name), where);
            }
          }
        }
      }
    }
  }

  @Test
  void theBackwardPassEndsWhereFrozenPartsDo() {
    TrainingStep how = new TrainingStep(0.9, 0, 0, false, false, false, false);
    Graph all = graph(how, FineTuning.NONE, BATCH);
    int before = all.ops().size();
    for (int frozen = 1; frozen <= 3; frozen++) {
      Graph graph = graph(how, new FineTuning(frozen, 1), BATCH);
      assertTrue(graph.ops().size() < before, frozen + ": " + graph.ops().size());
      before = graph.ops().size();
      long forward = count(graph, op -> op instanceof Op.Convolution);
      long learning =
          graph.parameters().stream()
              .filter(p -> p.shape().rank() == 4 && !isFrozen(p.name(), frozenParts(graph)))
              .count();
      assertEquals(count(all, op -> op instanceof Op.Convolution), forward);
      assertEquals(
          learning, count(graph, op -> op instanceof Op.ConvolutionBackwardWeights), "weights");
      // The first that learns passes nothing on.
      assertEquals(
          learning - 1, count(graph, op -> op instanceof Op.ConvolutionBackwardData), "data");
      assertEquals(learning, count(graph, op -> op instanceof Op.BatchNorm), "norms that move");
      assertEquals(
          forward - learning, count(graph, op -> op instanceof Op.BatchNormInference), "that stay");
    }
  }

  private static int frozenParts(Graph graph) {
    int parts = 0;
    for (String first : new String[] {"stem.", "layers.0.", "layers.2."}) {
      parts +=
          graph.parameters().stream()
                  .anyMatch(p -> p.name().startsWith(first) && p.set().startsWith("frozen"))
              ? 1
              : 0;
    }
    return parts;
  }

  private static long count(Graph graph, Predicate<Op> which) {
    return graph.ops().stream().filter(which).count();
  }

  /** The gradients of what learns are those of the loss that the step says, and no others. */
  @Test
  void gradientsAreThoseOfTheLoss() {
    TrainingStep how = new TrainingStep(0, 0, 0, false, false, false, false);
    try (Backend backend = new ReferenceBackend();
        Step step = new Step(backend, graph(how, new FineTuning(2, 0.5), BATCH))) {
      step.program.set(TrainingStep.RATE, 0.0);
      step.program.set(NetworkBuilder.NORM_MOMENTUM, 0.0);
      step.run(0, 0, 1);
      Map<String, float[]> gradients = step.read(Storage.Flat.GRADIENTS);
      for (String name :
          List.of(
              "layers.2.skip.conv.weight",
              "layers.3.k5_e1.project_bn.bias",
              "head.conv.weight",
              "classifier.weight",
              "classifier.bias")) {
        float[] gradient = gradients.get(name);
        int most = 0;
        for (int i = 0; i < gradient.length; i++) {
          most = Math.abs(gradient[i]) > Math.abs(gradient[most]) ? i : most;
        }
        float h = 1e-4f;
        double[] losses = new double[2];
        for (int side = 0; side < 2; side++) {
          Map<String, float[]> moved = tensors();
          moved.get(name)[most] += side == 0 ? h : -h;
          StoreTensors.load(step.store, moved);
          step.run(0, 0, 1);
          losses[side] = step.program.scalar("loss");
        }
        double slope = (losses[0] - losses[1]) / (2 * h);
        assertEquals(slope, gradient[most], 2e-2 * Math.abs(slope) + 1e-4, name);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda"})
  void theBackboneLearnsAtItsShareOfTheRate(String device) {
    TrainingStep how = new TrainingStep(0.9, 1e-2, 0, false, false, false, false);
    double factor = 0.125;
    try (Backend backend = Devices.open(device);
        Step equal = new Step(backend, graph(how, FineTuning.NONE, BATCH));
        Step unequal = new Step(backend, graph(how, new FineTuning(0, factor), BATCH))) {
      equal.run(0, 0, 1);
      unequal.run(0, 0, 1);
      Map<String, float[]> from = tensors();
      Map<String, float[]> whole = equal.read(Storage.Flat.VALUES);
      Map<String, float[]> part = unequal.read(Storage.Flat.VALUES);
      for (String name : from.keySet()) {
        double share = name.contains("running") || name.startsWith("classifier.") ? 1 : factor;
        double moved = 0;
        for (int i = 0; i < from.get(name).length; i++) {
          float start = from.get(name)[i];
          moved = Math.max(moved, Math.abs(whole.get(name)[i] - start));
          assertEquals(
              share * (whole.get(name)[i] - start),
              part.get(name)[i] - start,
              1e-6,
              device + ", " + name + ", seed " + SEED);
        }
        // A norm takes back what is added to all of a channel before it.
        assertTrue(moved > 2e-5 || name.endsWith("project_bn.bias"), name + " moved by " + moved);
      }
    }
  }

  /** Two ranks with norms over both take the steps of one, and leave what is frozen alone. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void ranksShareTheStep(boolean norms) throws Exception {
    FineTuning tuning = new FineTuning(2, 0.5);
    Map<String, float[]> alone;
    try (Backend backend = new ReferenceBackend();
        Step step = new Step(backend, graph(FULL, tuning, BATCH))) {
      step.full(0, 0, 1);
      step.full(1, 0, 1);
      alone = step.read(Storage.Flat.VALUES);
    }
    List<Map<String, float[]>> both =
        ThreadRanks.run(
            2,
            ranks -> {
              Graph share = AcrossRanks.share(graph(FULL, tuning, BATCH / 2), ranks.rank(), norms);
              try (Backend backend = new ReferenceBackend(ranks);
                  Step step = new Step(backend, share)) {
                step.full(0, ranks.rank(), 2);
                step.full(1, ranks.rank(), 2);
                return step.read(Storage.Flat.VALUES);
              }
            });
    boolean equal = true;
    for (String name : alone.keySet()) {
      assertArrayEquals(both.get(0).get(name), both.get(1).get(name), name);
      if (isFrozen(name, 2)) {
        assertArrayEquals(tensors().get(name), both.get(0).get(name), name);
      }
      for (int i = 0; i < alone.get(name).length; i++) {
        equal &= Math.abs(alone.get(name)[i] - both.get(0).get(name)[i]) < 1e-4;
      }
    }
    assertEquals(norms, equal, "as one process, seed " + SEED);
  }

  @Test
  void rowsOfTheClassifierFollowTheNamesOfTheClasses() {
    List<String> names = new ArrayList<>();
    for (int c = 0; c < 10; c++) {
      names.add("class " + c);
    }
    TrainedNetwork model =
        new TrainedNetwork(
            NETWORK,
            tensors(),
            NORMALISATION,
            names,
            "photos",
            Optional.empty(),
            OptionalDouble.empty());
    Pretrained same = Pretrained.of(model, "aa", names, PixelType.U8, FineTuning.NONE);
    assertTrue(same.keepsClassifier());
    assertEquals(NORMALISATION, same.normalisation());
    same.tensors().forEach((name, values) -> assertArrayEquals(tensors().get(name), values, name));

    List<String> turned = new ArrayList<>(names.reversed());
    Pretrained other = Pretrained.of(model, "aa", turned, PixelType.F32, FineTuning.NONE);
    assertEquals(NORMALISATION.with(PixelType.F32), other.normalisation());
    int head = NETWORK.space().head();
    for (int c = 0; c < 10; c++) {
      for (int i = 0; i < head; i++) {
        assertEquals(
            tensors().get("classifier.weight")[(9 - c) * head + i],
            other.tensors().get("classifier.weight")[c * head + i]);
      }
      assertEquals(
          tensors().get("classifier.bias")[9 - c], other.tensors().get("classifier.bias")[c]);
    }

    turned.set(3, "new");
    for (List<String> classes :
        List.of(turned, names.subList(0, 9), List.copyOf(Collections.nCopies(10, "class 1")))) {
      Pretrained anew = Pretrained.of(model, "aa", classes, PixelType.U8, FineTuning.NONE);
      assertFalse(anew.keepsClassifier());
      assertEquals(tensors().size() - 2, anew.tensors().size());
    }
  }

  /** Scales channels by a parameter of a set that it names itself. */
  private record Stubborn() implements Block {
    @Override
    public String name() {
      return "stubborn";
    }

    @Override
    public Value build(BlockBuilder b, LayerSpec layer, Value x) {
      Value y = b.convolution("conv", x, layer.outChannels(), 1, layer.stride(), 1);
      Value own =
          b.graph()
              .parameter(
                  NetworkBuilder.WEIGHTS,
                  b.name("own.weight"),
                  true,
                  new Initial.Normal(1),
                  layer.outChannels(),
                  layer.outChannels(),
                  1,
                  1);
      return b.norm("bn", b.graph().convolution(y, own, 1, 1), true);
    }
  }

  @Test
  void aBlockThatWouldLearnWhereItStaysIsRefused() {
    SearchSpace like = TinySearch.space();
    SearchSpace space =
        new SearchSpace(
            "own",
            like.input(),
            10,
            like.stem(),
            like.stages(),
            like.head(),
            List.of(like.blocks().getFirst(), new Stubborn()),
            true);
    Architecture last = Architecture.of("", space, new int[] {0, 0, 0, 1});
    for (FineTuning tuning : List.of(new FineTuning(3, 1), new FineTuning(0, 0.5))) {
      UserException refused =
          assertThrows(
              UserException.class,
              () -> ArchitectureGraphs.training(last, BATCH, NORMALISATION, FULL, tuning));
      assertTrue(refused.getMessage().contains("'layers.3.stubborn.own.weight'"));
    }
    // In what learns it learns.
    for (FineTuning tuning : List.of(FineTuning.NONE, new FineTuning(2, 1))) {
      Graph graph = ArchitectureGraphs.training(last, BATCH, NORMALISATION, FULL, tuning);
      assertTrue(graph.parameters().stream().anyMatch(p -> p.name().endsWith("own.weight")));
    }
  }
}
