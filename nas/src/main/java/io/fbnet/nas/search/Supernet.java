package io.fbnet.nas.search;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.ClassBalance;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.network.PathGraphs;
import io.fbnet.nas.network.SupernetGraphs;
import io.fbnet.nas.network.UnrolledGraphs;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.train.RankShare;
import io.fbnet.nas.train.StoreTensors;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The supernet's parameters on a device and its two compiled steps. */
public final class Supernet implements AutoCloseable {
  private static final String WEIGHTS_FILE = "weights";
  private static final String OPTIMISER_FILE = "optimiser";

  private final SearchSpace space;
  private final ParameterStore store;
  private final SupernetGraphs graphs;
  private final PathGraphs pathGraphs;
  private final Backend backend;
  private final RankShare share;
  private final int batch;
  private final Budget budget;
  private final SearchSettings settings;
  private final Set<String> weightSets;
  private final SearchStrategy.ThetaStep kindOfThetaStep;
  private final boolean distils;
  private final SearchCosts costs;
  private Program pathStep;
  private Program weightStep;
  private Program thetaStep;
  private Program draw;
  private Program lookAhead;

  /**
   * Sets up the parameters; the steps are compiled when first asked for.
   *
   * @param strategy whether paths train w or the mixture does, with noise or without
   * @param costs told of the steps that are compiled
   */
  Supernet(
      Backend backend,
      SearchSpace space,
      Normalisation normalisation,
      SearchSettings settings,
      LatencyTable table,
      Budget budget,
      SearchStrategy strategy,
      SearchCosts costs) {
    this.costs = costs;
    boolean byPaths = strategy.sampling().isPresent();
    this.backend = backend;
    kindOfThetaStep = strategy.thetaStep();
    distils = strategy.sampling().filter(PathSampling::distils).isPresent();
    this.settings = settings;
    this.budget = budget;
    this.space = space;
    share = new RankShare(backend, settings.batch(), settings.sharedNorms());
    batch = share.batch();
    boolean weighted = settings.balance() == ClassBalance.WEIGHTS;
    SupernetGraphs mixture =
        new SupernetGraphs(
                space,
                normalisation,
                strategy.noise() || !strategy.trainsTheta()
                    ? settings.loss()
                    : settings.loss().withoutNoise(),
                table.fixed(),
                table.layers(),
                budget.penalties(),
                settings.lean())
            .weighted(weighted);
    graphs = byPaths ? mixture.withSetsOfBlocks() : mixture;
    pathGraphs = new PathGraphs(space, normalisation, byPaths).weighted(weighted);
    Graph graph = byPaths ? graphs.thetaStep(batch) : graphs.weightStep(batch);
    if (byPaths) {
      PathGraphs.requireOwnSets(graph);
    }
    weightSets = PathGraphs.weightSets(graph);
    store = new ParameterStore(backend, graph.parameters());
    store.initialise(settings.seed());
    StoreTensors.load(
        store, SupernetGraphs.THETA, Storage.Flat.VALUES, "theta", Theta.uniform(space).flat());
  }

  /** {@return its parameters} */
  public ParameterStore store() {
    return store;
  }

  /** {@return what the architecture may cost} */
  public Budget budget() {
    return budget;
  }

  /** {@return the part of each step that is this process's} */
  public RankShare share() {
    return share;
  }

  /** {@return the space it covers} */
  public SearchSpace space() {
    return space;
  }

  /** {@return the w step, compiled when first asked for} */
  public Program weightStep() {
    if (weightStep == null) {
      Graph graph = graphs.weightStep(batch);
      costs.weightStepIs(graph, share.ranks());
      weightStep = Program.compile(backend, share.of(graph), store);
    }
    return weightStep;
  }

  /**
   * {@return the w step of paths, compiled when first asked for} It is lean, whatever the mixture
   * is: that costs an eighth of its time and saves more than half of its memory.
   */
  public Program pathStep() {
    if (pathStep == null) {
      SupernetGraphs.LossSettings loss = settings.loss();
      Graph graph =
          distils
              ? pathGraphs.distillation(batch, loss.momentum(), loss.weightDecay(), true)
              : pathGraphs.training(batch, loss.momentum(), loss.weightDecay(), true);
      costs.pathIs(graph, share.ranks());
      pathStep = Program.compile(backend, share.of(graph), store);
    }
    return pathStep;
  }

  /**
   * {@return the theta step of the strategy, compiled when first asked for} Its first phase takes
   * the path of {@link #draw} where the step is by a path, and is one of several of {@link
   * ThetaSteps} where it is unrolled.
   */
  public Program thetaStep() {
    if (thetaStep == null) {
      Graph graph =
          switch (kindOfThetaStep) {
            case MIXTURE -> graphs.thetaStep(batch);
            case UNROLLED -> new UnrolledGraphs(graphs).thetaGradients(batch);
            case PATH -> graphs.thetaPathStep(batch);
          };
      if (kindOfThetaStep != SearchStrategy.ThetaStep.UNROLLED) {
        costs.thetaStepIs(graph, share.ranks());
      }
      thetaStep = Program.compile(backend, share.of(graph), store);
    }
    return thetaStep;
  }

  /** The gradients of w that an unrolled theta step looks ahead by. */
  Program lookAhead() {
    if (lookAhead == null) {
      Graph graph = new UnrolledGraphs(graphs).weightGradients(batch);
      lookAhead = Program.compile(backend, share.of(graph), store);
    }
    return lookAhead;
  }

  /** What draws the path of a theta step. */
  Program draw() {
    if (draw == null) {
      draw = Program.compile(backend, graphs.draw(), store);
    }
    return draw;
  }

  /** Steps of single paths on its parameters. */
  PathGraphs pathGraphs() {
    return pathGraphs;
  }

  /** {@return theta as it stands} */
  public Theta theta() {
    float[] flat = store.read(SupernetGraphs.THETA, Storage.Flat.VALUES, "theta");
    return Theta.of(flat, space.layerCount(), space.blocks().size());
  }

  /** Frees the compiled steps, whose memory sampling can use; parameters stay. */
  public void releaseSteps() {
    for (Program program : new Program[] {weightStep, thetaStep, pathStep, draw, lookAhead}) {
      if (program != null) {
        program.close();
      }
    }
    weightStep = null;
    thetaStep = null;
    pathStep = null;
    draw = null;
    lookAhead = null;
  }

  /** All that a resumed run needs, as files of tensors in memory of {@code arena}. */
  Map<String, List<Tensor>> tensors(Arena arena) {
    String values = Storage.Flat.VALUES;
    List<Tensor> weights = new ArrayList<>();
    weightSets.forEach(set -> weights.addAll(StoreTensors.of(store, set, values, "", arena)));
    weights.addAll(StoreTensors.of(store, NetworkBuilder.STATISTICS, values, "", arena));
    weights.addAll(StoreTensors.of(store, SupernetGraphs.THETA, values, "", arena));
    List<Tensor> optimiser = new ArrayList<>();
    weightSets.forEach(
        set -> optimiser.addAll(StoreTensors.of(store, set, "velocity", "velocity.", arena)));
    optimiser.addAll(StoreTensors.of(store, SupernetGraphs.THETA, "first", "first.", arena));
    optimiser.addAll(StoreTensors.of(store, SupernetGraphs.THETA, "second", "second.", arena));
    return Map.of(WEIGHTS_FILE, weights, OPTIMISER_FILE, optimiser);
  }

  /** Takes parameters and optimiser state from a checkpoint. */
  void restore(Checkpoints.Found checkpoint) {
    String values = Storage.Flat.VALUES;
    try (Safetensors.Reader reader = checkpoint.open(WEIGHTS_FILE)) {
      weightSets.forEach(set -> StoreTensors.restore(reader, store, set, values, ""));
      StoreTensors.restore(reader, store, NetworkBuilder.STATISTICS, values, "");
      StoreTensors.restore(reader, store, SupernetGraphs.THETA, values, "");
    }
    try (Safetensors.Reader reader = checkpoint.open(OPTIMISER_FILE)) {
      weightSets.forEach(set -> StoreTensors.restore(reader, store, set, "velocity", "velocity."));
      StoreTensors.restore(reader, store, SupernetGraphs.THETA, "first", "first.");
      StoreTensors.restore(reader, store, SupernetGraphs.THETA, "second", "second.");
    }
  }

  /** {@return bytes that one checkpoint takes, a little rounded up} */
  public long checkpointBytes() {
    long elements = 0;
    for (String set : weightSets) {
      elements += 2 * store.layout(set).size();
    }
    elements += store.layout(NetworkBuilder.STATISTICS).size();
    elements += 3 * store.layout(SupernetGraphs.THETA).size();
    return elements * Float.BYTES + (1L << 20);
  }

  @Override
  public void close() {
    releaseSteps();
    store.close();
  }
}
