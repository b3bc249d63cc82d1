package io.fbnet.nas.onnx;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.space.Activation;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.Blocks;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Networks whose every number matters: no scale is 1, no shift, mean or bias is 0. */
final class Networks {
  private Networks() {}

  /** A small space; odd sides meet stride 2. */
  static SearchSpace space(int channels, int height, int width, boolean alwaysPw) {
    return new SearchSpace(
        "odd",
        new SearchSpace.Input(channels, height, width),
        10,
        new SearchSpace.Stem(8, 2),
        List.of(
            new SearchSpace.Stage(8, 2, 1),
            new SearchSpace.Stage(16, 2, 2),
            new SearchSpace.Stage(24, 2, 2)),
        32,
        Stream.concat(
                BlockType.FBNET.stream(),
                Stream.of("k7_e2_g4", "k9_e1_g8", "k11_e1").map(Blocks::parse))
            .toList(),
        alwaysPw);
  }

  /** The same outline with blocks of later networks, and hard swish in stem and head. */
  static SearchSpace later(int channels, int height, int width) {
    SearchSpace outline = space(channels, height, width, true);
    return new SearchSpace(
        "later",
        outline.input(),
        outline.classes(),
        outline.stem(),
        outline.stages(),
        outline.head(),
        Stream.of(
                "k3_e1",
                "k3_e3_hswish",
                "k5_e2_se",
                "k3_e6_se_hswish",
                "k5_e1_g2_se_swish",
                "k3_e3_swish",
                "skip")
            .map(Blocks::parse)
            .toList(),
        true,
        SearchSpace.SkipRule.EVERYWHERE,
        Activation.HSWISH);
  }

  /** A network of that space with each of its blocks but the paper's. */
  static Architecture laterNetwork(int channels, int height, int width) {
    return architecture(
        later(channels, height, width),
        "k3_e3_hswish",
        "k5_e2_se",
        "k3_e6_se_hswish",
        "k5_e1_g2_se_swish",
        "k3_e3_swish",
        "skip");
  }

  static Architecture architecture(SearchSpace space, String... blocks) {
    return new Architecture("small", space, Arrays.stream(blocks).map(Blocks::parse).toList());
  }

  /**
   * Draws all parameters of a store around what they are.
   *
   * @param amount how far: at 1, factors of scales and variances lie between 0.6 and 1.4
   */
  static void perturb(ParameterStore store, long seed, double amount) {
    Random random = new Random(seed);
    for (String set : store.sets()) {
      ParameterLayout layout = store.layout(set);
      float[] all = store.readAll(set, Storage.Flat.VALUES);
      for (ParameterLayout.Entry entry : layout.entries()) {
        String name = entry.spec().name();
        boolean scale = entry.spec().shape().rank() == 1 && name.endsWith(".weight");
        boolean positive = scale || name.endsWith(".running_var");
        boolean matrix = entry.spec().shape().rank() > 1;
        for (int i = 0; i < entry.spec().shape().elements(); i++) {
          int at = (int) entry.offset() + i;
          double noise = random.nextGaussian();
          if (positive) {
            all[at] = (float) (all[at] * (1 + amount * (0.8 * random.nextDouble() - 0.4)));
          } else if (matrix) {
            all[at] += (float) (0.02 * amount * noise);
          } else {
            all[at] += (float) (0.3 * amount * noise);
          }
        }
      }
      try (Arena arena = Arena.ofConfined()) {
        store.load(set, Storage.Flat.VALUES, arena.allocateFrom(JAVA_FLOAT, all));
      }
    }
  }

  /**
   * A network with drawn weights whose running statistics come from real images, and are then drawn
   * away from those: activations stay of ordinary size through any depth.
   */
  static TrainedNetwork drawn(Backend backend, Architecture network, Dataset data, long seed) {
    try (ParameterStore store =
        new ParameterStore(backend, ArchitectureGraphs.inference(network, 1).parameters())) {
      store.initialise(seed);
      perturb(store, seed, 1);
      int batch = 16;
      int[] images = IntStream.range(0, 2 * batch).toArray();
      try (Program program =
              Program.compile(
                  backend,
                  ArchitectureGraphs.recalibration(network, batch, data.normalisation()),
                  store);
          BatchLoader loader = BatchLoader.over(data.train(), images).batchSize(batch).build()) {
        loader.start(0, 0);
        int count = 0;
        for (Batch next = loader.next(); next != null; next = loader.next()) {
          BatchInputs.writeImages(program, next);
          program.set(NetworkBuilder.NORM_MOMENTUM, 1.0 / ++count);
          program.run();
        }
        backend.synchronise();
      }
      perturb(store, seed + 1, 0.1);
      return new TrainedNetwork(
          network,
          TrainedNetwork.tensors(network, store),
          data.normalisation(),
          data.classes(),
          data.name(),
          Optional.of(new TrainedNetwork.Latency("box", 1.25, "box.json")),
          OptionalDouble.of(0.5));
    }
  }

  /** What the engine says: the output of a graph that has one input and one output. */
  static float[] run(Backend backend, Graph graph, ParameterStore store, float[] input) {
    try (Program program = Program.compileFixed(backend, graph, store);
        Arena arena = Arena.ofConfined()) {
      String in =
          graph.storage().values().stream()
              .filter(Storage.Input.class::isInstance)
              .map(storage -> ((Storage.Input) storage).name())
              .findFirst()
              .orElseThrow();
      MemorySegment images = arena.allocateFrom(JAVA_FLOAT, input);
      program.write(in, images);
      program.run();
      return program.read(graph.outputs().keySet().iterator().next());
    }
  }

  /** Logits of a network. */
  static float[] logits(Backend backend, TrainedNetwork network, int batch, float[] images) {
    try (ParameterStore store = network.store(backend)) {
      return run(
          backend, ArchitectureGraphs.inference(network.architecture(), batch), store, images);
    }
  }
}
