package io.fbnet.nas.train;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.FineTuning;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.TrainingStep;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.space.Architecture;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** One architecture's parameters on a device and its compiled training step. */
public final class Trainer implements AutoCloseable {
  static final String[] OUTPUTS = {"loss", "finite", "rank", "ce"};

  private static final double NORM_MOMENTUM = 0.1;
  private static final String WEIGHTS_FILE = "weights";
  private static final String OPTIMISER_FILE = "optimiser";
  private static final String VELOCITY = "velocity";

  private final Architecture architecture;
  private final Normalisation normalisation;
  private final Recipe recipe;
  private final FineTuning tuning;

  /** The hash of the model that it began from; empty from scratch. */
  private final String origin;

  private final RankShare share;
  private final ParameterStore store;
  private final Program step;

  /**
   * Draws the weights and compiles the step.
   *
   * @param backend where it runs
   * @param architecture the network
   * @param normalisation what becomes of pixels before the network sees them
   * @param recipe how it is trained
   * @throws io.fbnet.engine.backend.OutOfDeviceMemory where the step does not fit the device
   */
  public Trainer(
      Backend backend, Architecture architecture, Normalisation normalisation, Recipe recipe) {
    this(backend, architecture, normalisation, recipe, FineTuning.NONE, "");
  }

  /**
   * Takes the weights of a trained network and compiles the step. Images are normalised as that
   * network's were; a classifier that it lacks is drawn.
   *
   * @param backend where it runs
   * @param architecture the network
   * @param recipe how it is trained
   * @param from what it begins with
   * @throws io.fbnet.engine.backend.OutOfDeviceMemory where the step does not fit the device
   */
  public Trainer(Backend backend, Architecture architecture, Recipe recipe, Pretrained from) {
    this(backend, architecture, from.normalisation(), recipe, from.tuning(), from.sha256());
    try {
      StoreTensors.load(store, from.tensors());
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private Trainer(
      Backend backend,
      Architecture architecture,
      Normalisation normalisation,
      Recipe recipe,
      FineTuning tuning,
      String origin) {
    this.architecture = architecture;
    this.normalisation = normalisation;
    this.recipe = recipe;
    this.tuning = tuning;
    this.origin = origin;
    backend.warmUp();
    share = new RankShare(backend, recipe.batch(), recipe.sharedNorms());
    Graph graph =
        ArchitectureGraphs.training(
            architecture, share.batch(), normalisation, recipe.step(), tuning);
    store = new ParameterStore(backend, graph.parameters());
    store.initialise(recipe.seed());
    try {
      step = Program.compile(backend, share.of(graph), store);
    } catch (RuntimeException e) {
      store.close();
      throw e;
    }
  }

  /** Its recipe. */
  Recipe recipe() {
    return recipe;
  }

  /** {@return the part of each step that is this process's} */
  public RankShare share() {
    return share;
  }

  /** What becomes of pixels before the network sees them. */
  Normalisation normalisation() {
    return normalisation;
  }

  /** The hash of the model that it began from; empty from scratch. */
  String origin() {
    return origin;
  }

  /** Its parameters. */
  ParameterStore store() {
    return store;
  }

  /** {@return kernels that run by an implementation known to be slow, one sentence each} */
  public List<String> slowKernels() {
    return step.slowKernels();
  }

  /**
   * Launches a batch; the last part of a step updates the weights.
   *
   * @param batch not to be released before the results have arrived
   * @param part from 0, of {@link Recipe#accumulate}
   * @param update how many updates were done before this one
   */
  Readback launch(Batch batch, int part, long update, double rate) {
    BatchInputs.lend(step, batch);
    step.set(TrainingStep.RATE, rate);
    step.set(NetworkBuilder.NORM_MOMENTUM, NORM_MOMENTUM);
    if (recipe.accumulate() > 1) {
      step.set(TrainingStep.GATHER_KEEP, part == 0 ? 0.0 : 1.0);
      step.set(TrainingStep.GATHER_SHARE, 1.0 / recipe.accumulate());
      step.set(TrainingStep.UPDATE, part == recipe.accumulate() - 1 ? 1.0 : 0.0);
    }
    if (recipe.ema() > 0) {
      double keep = recipe.averageKeep(update);
      step.set(TrainingStep.AVERAGE_KEEP, keep);
      step.set(TrainingStep.AVERAGE_SHARE, 1 - keep);
    }
    step.run();
    return step.readLater(OUTPUTS);
  }

  /**
   * {@return a copy of the network as it is now: the moving average where the recipe keeps one,
   * else the weights}
   *
   * @param data what it is trained on
   * @param latency if one is known
   */
  public TrainedNetwork network(Dataset data, Optional<TrainedNetwork.Latency> latency) {
    String buffer = recipe.ema() > 0 ? TrainingStep.AVERAGE : Storage.Flat.VALUES;
    return new TrainedNetwork(
        architecture,
        TrainedNetwork.tensors(architecture, store, buffer),
        normalisation,
        data.classes(),
        data.name(),
        latency,
        OptionalDouble.empty());
  }

  /** All that a resumed run needs, as files of tensors in memory of {@code arena}. */
  Map<String, List<Tensor>> tensors(Arena arena) {
    List<Tensor> weights = new ArrayList<>();
    List<Tensor> optimiser = new ArrayList<>();
    for (String set : store.sets()) {
      weights.addAll(StoreTensors.of(store, set, Storage.Flat.VALUES, "", arena));
      for (String buffer : buffers(set)) {
        optimiser.addAll(StoreTensors.of(store, set, buffer, buffer + ".", arena));
      }
    }
    Map<String, List<Tensor>> files = new LinkedHashMap<>();
    files.put(WEIGHTS_FILE, weights);
    files.put(OPTIMISER_FILE, optimiser);
    return files;
  }

  /** Takes parameters and optimiser state from a checkpoint. */
  void restore(Checkpoints.Found checkpoint) {
    try (Safetensors.Reader weights = checkpoint.open(WEIGHTS_FILE);
        Safetensors.Reader optimiser = checkpoint.open(OPTIMISER_FILE)) {
      for (String set : store.sets()) {
        StoreTensors.restore(weights, store, set, Storage.Flat.VALUES, "");
        for (String buffer : buffers(set)) {
          StoreTensors.restore(optimiser, store, set, buffer, buffer + ".");
        }
      }
    }
  }

  /** What is kept of a set beside its values; of what is frozen nothing. */
  private List<String> buffers(String set) {
    List<String> buffers = new ArrayList<>();
    if (recipe.ema() > 0 && tuning.changing().contains(set)) {
      buffers.add(TrainingStep.AVERAGE);
    }
    if (tuning.rates().containsKey(set)) {
      buffers.add(VELOCITY);
    }
    return buffers;
  }

  /** {@return bytes that one checkpoint takes, a little rounded up} */
  public long checkpointBytes() {
    long elements = 0;
    for (String set : store.sets()) {
      elements += (1 + buffers(set).size()) * store.layout(set).size();
    }
    return elements * Float.BYTES + (1L << 20);
  }

  @Override
  public void close() {
    step.close();
    store.close();
  }
}
