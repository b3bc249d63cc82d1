package io.fbnet.nas.network;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The loss of every step, and its gradient, are sums over images of each one's part times its
 * weight: those of any weights are made of those of one image at a time, and weights of 1 change
 * nothing.
 */
class WeightedImagesTest {
  private static final long SEED = 20261129L;
  private static final int BATCH = 3;
  private static final SearchSpace SPACE = TinySearch.space();
  private static final Normalisation NORMALISATION =
      new Normalisation(List.of(0.4f), List.of(0.3f));

  /** A loss and the gradients of what is trained. */
  private record Found(double loss, double ce, List<Float> gradients) {}

  private static SupernetGraphs supernet(boolean weighted) {
    LossSettings paper = LossSettings.PAPER;
    // Noise of each image makes the factor of each image another.
    LossSettings loss =
        new LossSettings(paper.alpha(), paper.beta(), false, true, false, 0.9, 1e-4, 5e-4, true);
    double[][] ms = TinySearch.table(SPACE).layers();
    return new SupernetGraphs(SPACE, NORMALISATION, loss, 0.2, ms, List.of(), false)
        .weighted(weighted);
  }

  private static PathGraphs paths(boolean weighted) {
    return new PathGraphs(SPACE, NORMALISATION, true).weighted(weighted);
  }

  private static Graph graph(String step, boolean weighted) {
    return switch (step) {
      case "training" ->
          ArchitectureGraphs.training(
              Architecture.of("", SPACE, new int[SPACE.layerCount()]),
              BATCH,
              NORMALISATION,
              new TrainingStep(0.9, 1e-4, 0.1, weighted, false, false, false));
      case "w" -> supernet(weighted).weightStep(BATCH);
      case "theta" -> supernet(weighted).thetaStep(BATCH);
      case "theta by path" -> supernet(weighted).withSetsOfBlocks().thetaPathStep(BATCH);
      case "look ahead" -> new UnrolledGraphs(supernet(weighted)).weightGradients(BATCH);
      default -> paths(weighted).training(BATCH, 0.9, 1e-4, true);
    };
  }

  private static Found run(Backend backend, String step, Optional<float[]> weights) {
    Graph graph = graph(step, weights.isPresent());
    boolean byPath = step.endsWith("path");
    String set = step.startsWith("theta") ? SupernetGraphs.THETA : NetworkBuilder.WEIGHTS;
    Random random = new Random(SEED);
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      byte[] images = new byte[BATCH * 12 * 12];
      random.nextBytes(images);
      program.write(BatchInputs.IMAGES, arena.allocateFrom(JAVA_BYTE, images));
      program.write(BatchInputs.WINDOWS, arena.allocateFrom(JAVA_INT, new int[3 * BATCH]));
      program.write(
          BatchInputs.LABELS,
          arena.allocateFrom(JAVA_INT, random.ints(BATCH, 0, SPACE.classes()).toArray()));
      weights.ifPresent(
          w -> program.write(BatchInputs.IMAGE_WEIGHTS, arena.allocateFrom(JAVA_FLOAT, w)));
      for (Value control : graph.storage().keySet()) {
        if (graph.storage().get(control) instanceof Storage.Control) {
          if (control.type() == Type.I64) {
            program.set(control.name(), 3L);
          } else {
            // Gathered, for a sum that is the gradient; and nothing moves.
            boolean one =
                List.of("tau", "count", PathGraphs.SHARE, PathGraphs.SHARE_OUTLINE)
                    .contains(control.name());
            program.set(control.name(), one ? 1.0 : 0.0);
          }
        }
      }
      program.run(Op.Phase.FIRST, byPath ? new int[SPACE.layerCount()] : new int[0]);
      String buffer = step.equals("path") ? PathGraphs.GATHERED : Storage.Flat.GRADIENTS;
      float[] found = store.readAll(set, buffer);
      Float[] boxed = new Float[found.length];
      Arrays.setAll(boxed, i -> found[i]);
      double ce = 0;
      if (graph.outputs().containsKey("ce")) {
        for (float each : program.read("ce")) {
          ce += each;
        }
      }
      return new Found(program.read("loss")[0], ce, List.of(boxed));
    }
  }

  private static void requireEqual(Found expected, Found found, String what) {
    assertEquals(expected.loss(), found.loss(), 1e-5 + 1e-5 * Math.abs(expected.loss()), what);
    double largest = 0;
    for (float gradient : expected.gradients()) {
      largest = Math.max(largest, Math.abs(gradient));
    }
    assertTrue(largest > 1e-5, what + ": there are no gradients");
    for (int i = 0; i < expected.gradients().size(); i++) {
      assertEquals(
          expected.gradients().get(i), found.gradients().get(i), 2e-4 * largest, what + " " + i);
    }
  }

  static Stream<Arguments> cases() {
    return Stream.of("training", "w", "theta", "theta by path", "look ahead", "path")
        .flatMap(
            step ->
                Stream.of("reference", "cpu", "cuda deterministic")
                    .map(device -> Arguments.of(step, device)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void lossesAndGradientsAreSumsOverImages(String step, String device) {
    String what = step + " on " + device + ", seed " + SEED;
    try (Backend backend = Devices.open(device)) {
      float[] weights = {0.25f, 3, 40};
      Found plain = run(backend, step, Optional.empty());
      double loss = 0;
      double[] gradients = new double[plain.gradients().size()];
      for (int i = 0; i < BATCH; i++) {
        float[] one = new float[BATCH];
        one[i] = 1;
        Found part = run(backend, step, Optional.of(one));
        loss += weights[i] * part.loss();
        for (int g = 0; g < gradients.length; g++) {
          gradients[g] += weights[i] * part.gradients().get(g);
        }
      }
      Found all = run(backend, step, Optional.of(weights));
      List<Float> sum = Arrays.stream(gradients).mapToObj(g -> (float) g).toList();
      requireEqual(new Found(loss, 0, sum), all, what);
      float[] ones = new float[BATCH];
      Arrays.fill(ones, 1);
      requireEqual(plain, run(backend, step, Optional.of(ones)), what + ", ones");
      if (!step.equals("path")) {
        assertEquals(plain.ce(), all.ce(), 1e-5, what + ": what is told is without weights");
      }
    }
  }
}
