package io.fbnet.nas.train;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.util.Collections.nCopies;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.TrainingStep;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The training step of a whole network: gathered gradients and moving averages. */
class TrainerTest {
  private static final long SEED = 20260411L;
  private static final int BATCH = 4;

  private static Architecture network() {
    SearchSpace space =
        SearchSpace.load(
            Path.of("src", "test", "resources", "io", "fbnet", "nas", "endtoend", "tiny.yaml")
                .toString());
    int[] choice = new int[space.layerCount()];
    choice[1] = 2;
    return Architecture.of("", space, choice);
  }

  /** A compiled step with its store. */
  private static final class Step implements AutoCloseable {
    final ParameterStore store;
    final Program program;

    Step(Backend backend, int batch, TrainingStep how) {
      int channels = network().space().input().channels();
      Graph graph =
          ArchitectureGraphs.training(
              network(),
              batch,
              new Normalisation(nCopies(channels, 0.5f), nCopies(channels, 0.25f)),
              how);
      store = new ParameterStore(backend, graph.parameters());
      store.initialise(SEED);
      program = Program.compile(backend, graph, store);
      program.set(TrainingStep.RATE, 0.05);
      // The running statistics stay, whose variance is unbiased and so depends on the batch.
      program.set(NetworkBuilder.NORM_MOMENTUM, 0.0);
    }

    /** Runs copies of the same {@link #BATCH} images. */
    void run(int copies, int number) {
      SearchSpace.Input in = network().space().input();
      int pixels = in.channels() * in.height() * in.width();
      Random random = new Random(SEED + number);
      byte[] images = new byte[copies * BATCH * pixels];
      int[] labels = new int[copies * BATCH];
      for (int i = 0; i < images.length; i++) {
        int source = i % (BATCH * pixels);
        images[i] = i == source ? (byte) random.nextInt() : images[source];
      }
      for (int i = 0; i < labels.length; i++) {
        labels[i] = i < BATCH ? random.nextInt(10) : labels[i % BATCH];
      }
      try (Arena arena = Arena.ofConfined()) {
        program.write("images", arena.allocateFrom(JAVA_BYTE, images));
        program.write("labels", arena.allocateFrom(JAVA_INT, labels));
        program.run();
        assertEquals(1, program.scalar("finite"));
      }
    }

    float[] weights(String buffer) {
      return store.readAll(NetworkBuilder.WEIGHTS, buffer);
    }

    @Override
    public void close() {
      program.close();
      store.close();
    }
  }

  /** Parts that are copies of each other have equal statistics, so batch norms do not interfere. */
  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda"})
  void partsMakeTheStepThatOneBatchMakes(String device) {
    int parts = 3;
    try (Backend backend = Devices.open(device);
        Step whole =
            new Step(
                backend,
                parts * BATCH,
                new TrainingStep(0.9, 1e-2, 0.1, false, false, false, false));
        Step gathered =
            new Step(backend, BATCH, new TrainingStep(0.9, 1e-2, 0.1, false, false, true, false))) {
      gathered.program.set(TrainingStep.GATHER_SHARE, 1.0 / parts);
      for (int number = 0; number < 2; number++) {
        whole.run(parts, number);
        for (int part = 0; part < parts; part++) {
          float[] before = gathered.weights(Storage.Flat.VALUES);
          gathered.program.set(TrainingStep.GATHER_KEEP, part == 0 ? 0.0 : 1.0);
          gathered.program.set(TrainingStep.UPDATE, part == parts - 1 ? 1.0 : 0.0);
          gathered.run(1, number);
          if (part < parts - 1) {
            assertArrayEquals(before, gathered.weights(Storage.Flat.VALUES), "an early update");
          }
        }
        assertArrayEquals(
            whole.weights(Storage.Flat.GRADIENTS),
            gathered.weights(TrainingStep.GATHERED),
            2e-5f,
            device + ", seed " + SEED);
        assertArrayEquals(
            whole.weights(Storage.Flat.VALUES), gathered.weights(Storage.Flat.VALUES), 2e-5f);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda"})
  void theAverageFollowsWeightsAndStatistics(String device) {
    double[] keeps = {0, 0.1, 0.5, 0.9f};
    try (Backend backend = Devices.open(device);
        Step step =
            new Step(backend, BATCH, new TrainingStep(0.9, 0, 0, false, false, false, true))) {
      step.program.set(NetworkBuilder.NORM_MOMENTUM, 0.1);
      for (String set : new String[] {NetworkBuilder.WEIGHTS, NetworkBuilder.STATISTICS}) {
        double[] expected = new double[(int) step.store.layout(set).size()];
        for (int number = 0; number < keeps.length; number++) {
          step.program.set(TrainingStep.AVERAGE_KEEP, keeps[number]);
          step.program.set(TrainingStep.AVERAGE_SHARE, 1 - keeps[number]);
          step.run(1, number);
          float[] values = step.store.readAll(set, Storage.Flat.VALUES);
          float[] average = step.store.readAll(set, TrainingStep.AVERAGE);
          for (int i = 0; i < expected.length; i++) {
            expected[i] = keeps[number] * expected[i] + (1 - keeps[number]) * values[i];
            assertEquals(expected[i], average[i], 1e-5, device + " " + set + "[" + i + "]");
          }
        }
      }
    }
  }
}
