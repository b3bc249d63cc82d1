package io.fbnet.nas.network;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.Op;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.StoreTensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Theta's gradients by one path, and where a step of w would lead, are what they are said to be.
 */
class ThetaGradientsTest {
  private static final long SEED = 20261128L;
  private static final long STEP = 3;
  private static final int BATCH = 7;
  private static final double TAU = 1.5;
  private static final float MOVE = 0.02f;
  private static final int[] NO_CHOICE = {};

  private static SupernetGraphs supernet(SearchSpace space, Dataset data, LossSettings loss) {
    double[][] ms = new double[space.layerCount()][space.blocks().size()];
    return new SupernetGraphs(
        space, data.normalisation(), loss.withoutProduct(), 1, ms, List.of(), false);
  }

  /** A theta that is not uniform. */
  private static float[] theta(SearchSpace space) {
    Random random = new Random(SEED);
    float[] theta = new float[space.layerCount() * space.blocks().size()];
    for (int i = 0; i < theta.length; i++) {
      theta[i] = (float) random.nextGaussian();
    }
    return theta;
  }

  private static BatchLoader loader(Dataset data, int images) {
    return BatchLoader.over(data.train(), Splits.subset(data.train(), images, 1))
        .batchSize(BATCH)
        .build();
  }

  private static ParameterStore store(Backend backend, Graph graph, float[] theta) {
    ParameterStore store = new ParameterStore(backend, graph.parameters());
    store.initialise(SEED);
    StoreTensors.load(store, SupernetGraphs.THETA, Storage.Flat.VALUES, "theta", theta);
    return store;
  }

  private static void controls(Program program) {
    program.set("seed", SEED);
    program.set("step", STEP);
    program.set("tau", TAU);
  }

  /** The gradient of the loss in a factor, 1, behind each block of a path. */
  private static double[] factorGradients(
      Backend backend, SearchSpace space, Dataset data, int[] path, Batch batch, double loss) {
    GraphBuilder b = new GraphBuilder();
    NetworkBuilder network = new NetworkBuilder(b, space, NormMode.TRAIN_WITHOUT_UPDATE, true);
    Value x = network.stem(network.images(BATCH, data.normalisation()));
    List<Value> factors = new ArrayList<>();
    for (LayerSpec layer : space.layers()) {
      int l = layer.index();
      Value factor = b.parameter("factors", "f" + l, true, new Initial.Constant(1), 1, 1);
      factors.add(factor);
      x = b.weightedSum(List.of(network.block(layer, space.blocks().get(path[l]), x)), factor);
    }
    Value logits = network.head(x);
    Value mean = b.mean(b.crossEntropy(logits, BatchInputs.labels(b, BATCH)));
    b.output("loss", mean);
    Autodiff.gradients(b, mean, factors);
    Graph graph = b.build();
    try (ParameterStore store = new ParameterStore(backend, graph.parameters())) {
      store.initialise(SEED);
      try (Program program = Program.compile(backend, graph, store)) {
        BatchInputs.write(program, batch);
        program.run();
        assertEquals(loss, program.read("loss")[0], 1e-5, "the same weights");
      }
      double[] gradients = new double[path.length];
      for (int l = 0; l < path.length; l++) {
        gradients[l] = store.read("factors", Storage.Flat.GRADIENTS, "f" + l)[0];
      }
      return gradients;
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"reference", "cpu", "cuda deterministic"})
  void aPathGivesTheStraightThroughGradientOfItsSample(String device) {
    SearchSpace space = TinySearch.space();
    int candidates = space.blocks().size();
    try (Backend backend = Devices.open(device);
        Dataset data = DataSource.open(TinySearch.shapes());
        BatchLoader loader = loader(data, BATCH)) {
      SupernetGraphs graphs = supernet(space, data, LossSettings.PAPER).withSetsOfBlocks();
      Graph step = graphs.thetaPathStep(BATCH);
      GraphBuilder softly = new GraphBuilder();
      Value theta =
          softly.parameter(
              SupernetGraphs.THETA,
              "theta",
              true,
              new Initial.Constant(0),
              space.layerCount(),
              candidates);
      softly.output(
          "soft",
          softly.gumbelSoftmax(
              theta,
              softly.control("tau", Type.F32),
              softly.control("seed", Type.I64),
              softly.control("step", Type.I64),
              1,
              SupernetGraphs.NOISE_STREAM));
      loader.start(0, 0);
      Batch batch = loader.next();
      try (ParameterStore store = store(backend, step, theta(space));
          Program draw = Program.compile(backend, graphs.draw(), store);
          Program soft = Program.compile(backend, softly.build(), store);
          Program program = Program.compile(backend, step, store)) {
        controls(draw);
        draw.run();
        float[] hard = draw.read("path");
        controls(soft);
        soft.run();
        float[] m = soft.read("soft");
        int[] path = new int[space.layerCount()];
        for (int l = 0; l < path.length; l++) {
          for (int k = 0; k < candidates; k++) {
            path[l] = hard[l * candidates + k] == 1 ? k : path[l];
          }
        }
        controls(program);
        program.set("rate", 0.0);
        program.set("count", 1.0);
        BatchInputs.write(program, batch);
        program.run(Op.Phase.FIRST, path);
        double loss = program.read("loss")[0];
        double[] factors = factorGradients(backend, space, data, path, batch, loss);
        float[] actual = store.readAll(SupernetGraphs.THETA, Storage.Flat.GRADIENTS);
        double largest = 0;
        for (int l = 0; l < path.length; l++) {
          double own = m[l * candidates + path[l]];
          for (int k = 0; k < candidates; k++) {
            double soften = own * ((k == path[l] ? 1 : 0) - m[l * candidates + k]) / TAU;
            double expected = factors[l] * soften;
            assertEquals(
                expected,
                actual[l * candidates + k],
                1e-6 + 1e-3 * Math.abs(expected),
                "layer " + l + ", candidate " + k + ", seed " + SEED);
            largest = Math.max(largest, Math.abs(expected));
          }
        }
        assertTrue(largest > 1e-4, "there is something to compare: " + largest);
      }
    }
  }

  /** The batches of w and theta that an unrolled step is on; a loader keeps only its last one. */
  private static final class TwoBatches implements AutoCloseable {
    private final Dataset data = DataSource.open(TinySearch.shapes());
    private final BatchLoader one = loader(data, 2 * BATCH);
    private final BatchLoader other = loader(data, 2 * BATCH);
    private final Batch first;
    private final Batch second;
    private final UnrolledGraphs graphs;

    TwoBatches(SearchSpace space) {
      graphs = new UnrolledGraphs(supernet(space, data, LossSettings.PAPER.withoutNoise()));
      one.start(0, 0);
      other.start(0, 1);
      first = one.next();
      second = other.next();
    }

    @Override
    public void close() {
      one.close();
      other.close();
      data.close();
    }
  }

  /** A step of second order and what it leaves. */
  private static final class Unrolled implements AutoCloseable {
    private static final double RATE = 0.5;
    private final ParameterStore store;
    private final Program weights;
    private final Program thetas;
    private final TwoBatches on;

    Unrolled(Backend backend, TwoBatches on, float[] theta) {
      this.on = on;
      Graph graph = on.graphs.weightGradients(BATCH);
      store = store(backend, graph, theta);
      weights = Program.compile(backend, graph, store);
      thetas = Program.compile(backend, on.graphs.thetaGradients(BATCH), store);
      for (Program program : List.of(weights, thetas)) {
        controls(program);
        program.set(UnrolledGraphs.LOOK_RATE, RATE);
      }
      thetas.set("rate", 0.1);
      thetas.set("count", 1.0);
    }

    /** Theta's loss on the second batch where a step of w on the first would lead. */
    double lossAhead() {
      look();
      weights.run(UnrolledGraphs.LOOK_AHEAD, NO_CHOICE);
      BatchInputs.write(thetas, on.second);
      thetas.run(Op.Phase.FIRST, NO_CHOICE);
      return thetas.read("loss")[0];
    }

    private void look() {
      BatchInputs.write(weights, on.first);
      weights.run(Op.Phase.FIRST, NO_CHOICE);
    }

    void step() {
      lossAhead();
      thetas.run(UnrolledGraphs.MOVE_FORTH, NO_CHOICE);
      look();
      thetas.run(UnrolledGraphs.MOVE_BACK, NO_CHOICE);
      look();
      thetas.run(UnrolledGraphs.UPDATE, NO_CHOICE);
    }

    @Override
    public void close() {
      weights.close();
      thetas.close();
      store.close();
    }
  }

  /** What an unrolled step on a back end makes of theta's gradient; w is to rest. */
  private static float[] unrolled(Backend backend, TwoBatches on, float[] theta) {
    try (Unrolled step = new Unrolled(backend, on, theta)) {
      float[] values = step.store.readAll(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES);
      float[] velocity = step.store.readAll(NetworkBuilder.WEIGHTS, "velocity");
      step.step();
      assertEquals(1, step.thetas.read("finite")[0]);
      assertArrayEquals(
          values, step.store.readAll(NetworkBuilder.WEIGHTS, Storage.Flat.VALUES), "w rests");
      assertArrayEquals(velocity, step.store.readAll(NetworkBuilder.WEIGHTS, "velocity"));
      assertFalse(
          Arrays.equals(theta, step.store.readAll(SupernetGraphs.THETA, Storage.Flat.VALUES)),
          "theta moves");
      return step.store.readAll(SupernetGraphs.THETA, "sum");
    }
  }

  @Test
  void anUnrolledStepGoesWhereTheLossAheadFalls() {
    SearchSpace space = TinySearch.space();
    try (Backend backend = Devices.open("reference");
        TwoBatches on = new TwoBatches(space)) {
      float[] theta = theta(space);
      float[] actual = unrolled(backend, on, theta);
      float[] firstOrder;
      try (Unrolled step = new Unrolled(backend, on, theta)) {
        step.lossAhead();
        firstOrder = step.store.readAll(SupernetGraphs.THETA, Storage.Flat.GRADIENTS);
      }
      // Loosely, and along the gradient: the loss ahead has a kink wherever theta goes. A wrong
      // sign or factor of the second order is farther away.
      double length = Math.sqrt(dot(actual, actual));
      double slope = 0;
      for (int sign : new int[] {-1, 1}) {
        float[] moved = theta.clone();
        for (int i = 0; i < moved.length; i++) {
          moved[i] += (float) (sign * MOVE * actual[i] / length);
        }
        try (Unrolled step = new Unrolled(backend, on, moved)) {
          slope += sign * step.lossAhead() / (2 * MOVE);
        }
      }
      String what = ", seed " + SEED;
      assertEquals(slope, length, 0.3 * slope, "along the gradient" + what);
      double ofFirstOrder = dot(firstOrder, actual) / length;
      assertTrue(Math.abs(ofFirstOrder - slope) > 0.6 * slope, "the second order counts" + what);
    }
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda deterministic"})
  void backEndsAgreeOnAnUnrolledStep(String device) {
    SearchSpace space = TinySearch.space();
    try (Backend reference = Devices.open("reference");
        Backend backend = Devices.open(device);
        TwoBatches on = new TwoBatches(space)) {
      float[] theta = theta(space);
      float[] expected = unrolled(reference, on, theta);
      float[] actual = unrolled(backend, on, theta);
      for (int i = 0; i < expected.length; i++) {
        // The finite difference divides what f32 leaves of two gradients.
        assertEquals(expected[i], actual[i], 1e-3 + 0.05 * Math.abs(expected[i]), "theta " + i);
      }
    }
  }
}
