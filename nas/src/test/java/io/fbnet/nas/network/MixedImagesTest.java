package io.fbnet.nas.network;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The loss of mixed images, and its gradient, are those by both labels, each times its weight. */
class MixedImagesTest {
  private static final long SEED = 20261129L;
  private static final int BATCH = 3;
  private static final SearchSpace SPACE = TinySearch.space();
  private static final int[] LABELS = {0, 1, 1};
  private static final int[] PARTNERS = {1, 1, 0};
  private static final float[] WEIGHTS = {0.9f, 2.5f, 0.25f};
  private static final float[] PARTNER_WEIGHTS = {0.1f, 0.5f, 0.75f};

  private record Found(double loss, List<Float> gradients) {}

  private static Found run(Backend backend, boolean mixed, int[] labels, float[] weights) {
    Graph graph =
        ArchitectureGraphs.training(
            Architecture.of("", SPACE, new int[SPACE.layerCount()]),
            BATCH,
            new Normalisation(List.of(0.4f), List.of(0.3f)),
            new TrainingStep(0.9, 0, 0.1, true, mixed, false, false));
    try (ParameterStore store = new ParameterStore(backend, graph.parameters());
        Program program = Program.compile(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      store.initialise(SEED);
      byte[] images = new byte[BATCH * 12 * 12];
      new Random(SEED).nextBytes(images);
      program.write(BatchInputs.IMAGES, arena.allocateFrom(JAVA_BYTE, images));
      program.write(BatchInputs.WINDOWS, arena.allocateFrom(JAVA_INT, new int[3 * BATCH]));
      program.write(BatchInputs.LABELS, arena.allocateFrom(JAVA_INT, labels));
      program.write(BatchInputs.IMAGE_WEIGHTS, arena.allocateFrom(JAVA_FLOAT, weights));
      if (mixed) {
        program.write(BatchInputs.PARTNER_LABELS, arena.allocateFrom(JAVA_INT, PARTNERS));
        program.write(BatchInputs.PARTNER_WEIGHTS, arena.allocateFrom(JAVA_FLOAT, PARTNER_WEIGHTS));
      }
      program.set(TrainingStep.RATE, 0.0);
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.0);
      program.run();
      List<Float> gradients = new ArrayList<>();
      for (float each : store.readAll(NetworkBuilder.WEIGHTS, Storage.Flat.GRADIENTS)) {
        gradients.add(each);
      }
      return new Found(program.read("loss")[0], gradients);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void lossAndGradientAreThoseByBothLabels(String device) {
    try (Backend backend = Devices.open(device)) {
      Found own = run(backend, false, LABELS, WEIGHTS);
      Found partner = run(backend, false, PARTNERS, PARTNER_WEIGHTS);
      Found both = run(backend, true, LABELS, WEIGHTS);
      assertEquals(own.loss() + partner.loss(), both.loss(), 1e-5 * both.loss(), device);
      double largest = 0;
      for (float gradient : both.gradients()) {
        largest = Math.max(largest, Math.abs(gradient));
      }
      assertTrue(largest > 1e-5, "there are no gradients");
      for (int i = 0; i < both.gradients().size(); i++) {
        double sum = (double) own.gradients().get(i) + partner.gradients().get(i);
        assertEquals(sum, both.gradients().get(i), 2e-4 * largest, device + ", gradient " + i);
      }
    }
  }
}
