package io.fbnet.nas.search;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.DualAscent;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.train.Divergence;
import io.fbnet.nas.train.RankShare;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;

/**
 * The alternation: each epoch trains w on its share of the images and, after the warm-up, theta on
 * the rest, when its turn is ({@link Turns}). Everything that a step depends on is either in the
 * checkpoint or a function of the seed and the position, so a resumed run computes what an unbroken
 * one would have.
 */
public final class SearchLoop {
  private static final String MULTIPLIERS = "multipliers";
  static final double NORM_MOMENTUM = 0.1;

  private static final String TAU = "tau";
  private static final String SPENT = "spent_macs";
  private static final String THETA_EVERY = "theta_every";
  private static final int WEIGHT_STREAM = 1;
  private static final int THETA_STREAM = 2;
  private static final int LOOKED_STREAM = 9;
  private static final Duration BETWEEN_CHECKPOINTS = Duration.ofSeconds(60);

  /** Two batches may be on their way to the device while two more are read. */
  private static final int SLOTS = 4;

  private final Backend backend;
  private final Supernet supernet;
  private final SearchSettings settings;
  private final SearchStrategy strategy;
  private final LatencyTable table;
  private final Dataset data;
  private final Splits splits;
  private final DualAscent ascent;
  private final SearchCosts costs;
  private Position position = Position.START;

  /** Multiply-adds of every step so far. */
  private long spent;

  private final RankShare share;
  private CostLog log;
  private long lastSave = System.nanoTime();

  /** What could not be logged, of which all learn when they save next, and that is soon. */
  private UserException unwritten;

  private int lastLoggedEpoch = -1;
  private StepInFlight inFlight;
  private PathSteps paths;
  private PathSampler sampler;
  private ThetaSteps thetaSteps;
  private Theta drawn;
  private long drawnAt = -1;
  private Turns turns;
  private Path root;

  /** A search at its beginning. */
  SearchLoop(
      Backend backend,
      Supernet supernet,
      SearchSettings settings,
      SearchStrategy strategy,
      LatencyTable table,
      Dataset data,
      SearchCosts costs) {
    this.costs = costs;
    this.backend = backend;
    this.supernet = supernet;
    share = supernet.share();
    this.settings = settings;
    this.strategy = strategy;
    this.table = table;
    this.data = data;
    ascent = new DualAscent(supernet.budget());
    splits =
        Splits.split(data.train(), settings.weightShare(), settings.seed(), settings.trainImages());
    turns = Turns.of(settings, strategy, splits.first().length, splits.second().length);
  }

  /** {@return the images that train w and those that train theta} */
  public Splits splits() {
    return splits;
  }

  /** {@return whether every epoch is done} */
  public boolean finished() {
    return position.epoch() >= settings.epochs();
  }

  /** {@return steps of both kinds that were done so far} */
  public long stepsDone() {
    return position.steps();
  }

  /** {@return multiply-adds of every step so far, forward and backward} */
  public long spent() {
    return spent;
  }

  /** Where the cost is written; null before the search was run, and on ranks that write nothing. */
  CostLog log() {
    return log;
  }

  /** {@return what the parts of the search take} */
  public SearchCosts costs() {
    return costs;
  }

  /**
   * Goes on from a checkpoint instead of the beginning.
   *
   * @param warnings told where an older version's run goes on in another way
   */
  void restore(Checkpoints.Found checkpoint, Consumer<String> warnings) {
    supernet.restore(checkpoint);
    position = Position.of(checkpoint);
    if (!checkpoint.manifest().state().has(TAU) && position.steps() > 0 && !finished()) {
      warnings.accept(
          "the run was begun by an older version, which lowered the temperature once an epoch; from"
              + " here on it falls with every step");
    }
    boolean counted = checkpoint.manifest().state().has(SPENT);
    spent = counted ? checkpoint.count(SPENT, Long.MAX_VALUE) : 0;
    if (!counted && position.steps() > 0 && !finished()) {
      warnings.accept(
          "the run was begun by an older version, which counted no multiply-adds: its cost is that"
              + " of the steps from here on");
    }
    if (thetaEvery(checkpoint) != turns.every()) {
      turns = turns.halves();
      if (!finished()) {
        warnings.accept(
            "the run was begun by an older version, which trained theta in the second half of each"
                + " epoch with every strategy: it goes on so");
      }
    }
    try {
      ascent.restore(checkpoint.manifest().state().path(MULTIPLIERS));
    } catch (IllegalArgumentException e) {
      throw checkpoint.wrong(MULTIPLIERS);
    }
  }

  /** How the run that a checkpoint is of was begun. */
  private int thetaEvery(Checkpoints.Found checkpoint) {
    if (!checkpoint.manifest().state().has(THETA_EVERY)) {
      return position.steps() > 0 ? 0 : turns.every();
    }
    int every = (int) checkpoint.count(THETA_EVERY, Integer.MAX_VALUE);
    if (every != 0 && every != turns.every()) {
      throw checkpoint.wrong(THETA_EVERY);
    }
    return every;
  }

  /** {@return steps of the whole search} */
  public long totalSteps() {
    int thetaEpochs =
        strategy.trainsTheta() ? Math.max(0, settings.epochs() - settings.warmupEpochs()) : 0;
    return totalWeightSteps() + (long) thetaEpochs * turns.thetaSteps();
  }

  private long totalWeightSteps() {
    return (long) settings.epochs() * turns.weightSteps();
  }

  /** Whether theta is trained in this epoch. */
  private boolean thetaMoves() {
    return strategy.trainsTheta() && position.epoch() >= settings.warmupEpochs();
  }

  /** {@return images that drop out of every epoch because they fill no whole batch} */
  public int droppedImages() {
    return splits.first().length % settings.batch() + splits.second().length % settings.batch();
  }

  private BatchLoader loader(int[] images, int stream, HostMemory memory) {
    return share
        .of(BatchLoader.over(data.train(), images))
        .augmentation(settings.augmentation())
        .normalisation(data.normalisation())
        .random(settings.seed(), stream)
        .balance(settings.balance())
        .shuffle(true)
        .dropLast(true)
        .allocator(memory)
        .manualRelease(true)
        .slots(SLOTS)
        .build();
  }

  /**
   * Runs to the end, or until the observer asks to stop.
   *
   * @return whether the search is finished
   * @throws UserException exit code 6 where a loss or gradient is not finite; no weight was touched
   *     by that step, and the last checkpoint stays
   */
  boolean run(RunFolder folder, MetricsLog metrics, SearchObserver observer) {
    root = folder.root();
    log = share.writes() ? new CostLog(folder.files().cost()) : null;
    Checkpoints checkpoints = folder.checkpoints(Checkpoints.LEAST_KEPT);
    lastLoggedEpoch = share.writes() ? lastLoggedEpoch(folder) : -1;
    share.requireSameImages(data.fingerprint());
    share.requireEqual(supernet.store());
    if (position.steps() == 0) {
      save(checkpoints, metrics);
    }
    try (HostMemory memory = backend.hostMemory();
        BatchLoader weightLoader = loader(splits.first(), WEIGHT_STREAM, memory);
        BatchLoader thetaLoader = loader(splits.second(), THETA_STREAM, memory);
        ThetaSteps steps =
            new ThetaSteps(
                supernet,
                strategy.thetaStep(),
                costs,
                () -> loader(splits.first(), LOOKED_STREAM, memory))) {
      thetaSteps = steps;
      BatchRounds thetaRounds = new BatchRounds(thetaLoader);
      while (!finished()) {
        boolean secondHalf = turns.every() == 0 && position.phase() == Position.Phase.THETA;
        BatchLoader loader = secondHalf ? thetaLoader : weightLoader;
        if (!steps(loader, thetaRounds, checkpoints, metrics, observer)) {
          // Whoever is told to end waits for rank 0 when it leaves.
          write(checkpoints, metrics);
          return false;
        }
        if (turns.every() == 0 && !secondHalf && thetaMoves()) {
          position = position.inTurn(Position.Phase.THETA, 0);
          continue;
        }
        share.requireEqual(supernet.store());
        logEpoch(metrics, observer);
        position = position.nextEpoch();
        save(checkpoints, metrics);
      }
    }
    return true;
  }

  /** Steps to the end of the epoch, or of its half. */
  private boolean steps(
      BatchLoader loader,
      BatchRounds between,
      Checkpoints checkpoints,
      MetricsLog metrics,
      SearchObserver observer) {
    loader.start(position.epoch(), position.batch());
    while (!turns.over(position)) {
      boolean theta = position.phase() == Position.Phase.THETA;
      Batch batch =
          theta && turns.every() > 0 ? between.take(position.thetaSteps()) : loader.next();
      if (theta && strategy.thetaStep() == SearchStrategy.ThetaStep.UNROLLED) {
        // The images that it looks at begin anew when all were seen: none may be on its way then.
        finish(metrics, observer);
      }
      StepInFlight launched =
          theta || strategy.sampling().isEmpty() ? launch(theta, batch) : launchPaths(batch);
      finish(metrics, observer);
      // What this step finds comes later on every device, even where it has arrived already.
      ascent.move();
      inFlight = launched;
      // Several ranks would not all find the same.
      if (share.ranks() == 1 && launched.results().arrived()) {
        finish(metrics, observer);
      }
      boolean[] asked =
          share.any(
              observer.stopRequested(),
              unwritten != null || System.nanoTime() - lastSave > BETWEEN_CHECKPOINTS.toNanos());
      if (asked[0]) {
        finish(metrics, observer);
        return false;
      }
      if (asked[1]) {
        finish(metrics, observer);
        save(checkpoints, metrics);
      }
    }
    finish(metrics, observer);
    return true;
  }

  /** The temperature of the step that comes next. */
  private double tau() {
    return settings.tau(position.epoch(), turns.done(position), turns.steps(position));
  }

  /** A step of single paths, whose results are there when it returns. */
  private StepInFlight launchPaths(Batch batch) {
    PathSampling sampling = strategy.sampling().orElseThrow();
    if (paths == null) {
      paths = new PathSteps(supernet.pathStep(), table::latencyOf, sampling.distils());
      sampler = new PathSampler(sampling, supernet.space(), settings.seed());
    }
    double rate = settings.rate(position.weightSteps(), totalWeightSteps());
    if (drawn == null || sampling.readsTheta() && drawnAt != position.thetaSteps()) {
      drawn = supernet.theta();
      drawnAt = position.thetaSteps();
    }
    List<int[]> taken = sampler.paths(drawn, position.weightSteps());
    double tau = tau();
    Readback results = paths.run(batch, taken, rate);
    for (int[] path : taken) {
      spent += costs.path(path);
    }
    position = turns.after(position, thetaMoves());
    return new StepInFlight(false, position, rate, tau, batch, results);
  }

  private StepInFlight launch(boolean theta, Batch batch) {
    Program program = theta ? supernet.thetaStep() : supernet.weightStep();
    double tau = tau();
    double rate =
        theta
            ? settings.thetaRate(position.thetaSteps(), totalSteps() - totalWeightSteps())
            : settings.rate(position.weightSteps(), totalWeightSteps());
    program.set("seed", settings.seed());
    program.set("step", position.steps());
    program.set("tau", tau);
    program.set("rate", rate);
    if (theta) {
      program.set("count", (double) (position.thetaSteps() + 1));
      ascent.set(program);
      double weightRate = settings.rate(position.weightSteps(), totalWeightSteps());
      spent += thetaSteps.run(batch, position, settings.seed(), tau, weightRate);
    } else {
      program.set(NetworkBuilder.NORM_MOMENTUM, NORM_MOMENTUM);
      BatchInputs.lend(program, batch);
      program.run();
      spent += costs.weightStep();
    }
    position = turns.after(position, thetaMoves());
    String[] outputs = StepInFlight.outputs(theta, supernet.budget());
    return new StepInFlight(theta, position, rate, tau, batch, program.readLater(outputs));
  }

  /** Takes the results of the step that is on its way, if there is one. */
  private void finish(MetricsLog metrics, SearchObserver observer) {
    if (inFlight == null) {
      return;
    }
    StepInFlight step = inFlight;
    inFlight = null;
    StepInFlight.Results results = step.await();
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("epoch", step.position().epoch());
    line.put("phase", step.phase());
    line.put("loss", results.loss());
    line.put("ce", results.ce());
    line.put("latency_ms", (float) results.latencyMs());
    double accuracy = share.means(results.accuracy())[0];
    line.put("accuracy", (float) accuracy);
    line.put("rate", (float) step.rate());
    line.put("tau", (float) step.tau());
    if (!results.finite()) {
      metrics.force();
      throw diverged(step, results, line);
    }
    if (step.theta()) {
      ascent.observe(results.excess());
    }
    log(metrics, step.position().steps(), line);
    observer.step(
        step.position().steps(),
        totalSteps(),
        step.position().epoch(),
        step.phase(),
        results.loss(),
        accuracy,
        results.latencyMs());
  }

  private UserException diverged(
      StepInFlight step, StepInFlight.Results results, Map<String, Object> line) {
    line.put("step", step.position().steps());
    line.put("seed", settings.seed());
    Path report =
        share.writes() ? Divergence.write(root, line, supernet.store()) : Divergence.report(root);
    return new UserException(
        ExitCode.DIVERGED,
        String.format(
            Locale.ROOT,
            "The %s step after step %d of epoch %d gave a loss of %s or a gradient that is no"
                + " number; it touched no weight and the last checkpoint is good: start a new run"
                + " with %s (%s says which tensors are no numbers).",
            step.phase(),
            step.position().steps() - 1,
            step.position().epoch() + 1,
            results.loss(),
            DivergenceAdvice.of(step.theta(), step.tau(), results.latencyMs(), settings),
            report));
  }

  /** The epoch of the log's last epoch line, -1 if there is none. */
  private static int lastLoggedEpoch(RunFolder folder) {
    return MetricsLog.read(folder.metrics()).stream()
        .filter(line -> line.path("phase").asText().equals("epoch"))
        .mapToInt(line -> line.path("epoch").asInt())
        .max()
        .orElse(-1);
  }

  private void logEpoch(MetricsLog metrics, SearchObserver observer) {
    // A run that was killed between this line and the checkpoint comes here twice.
    if (position.epoch() <= lastLoggedEpoch) {
      return;
    }
    Theta theta = supernet.theta();
    double[][] probabilities = theta.probabilities();
    double expected = table.expected(probabilities);
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("epoch", position.epoch());
    line.put("phase", "epoch");
    line.put("expected_ms", expected);
    line.putAll(ascent.record(probabilities));
    line.put("entropy_bits", theta.entropy());
    line.put(SPENT, spent);
    line.put("theta", theta.logits());
    log(metrics, position.steps(), line);
    observer.epoch(position.epoch(), expected, theta.entropy());
  }

  /** Where rank 0 of several cannot, it does not leave them at once: they would not learn why. */
  private void log(MetricsLog metrics, long step, Map<String, Object> line) {
    try {
      if (unwritten == null) {
        metrics.append(step, line);
      }
    } catch (UserException e) {
      if (share.ranks() == 1) {
        throw e;
      }
      unwritten = e;
    }
  }

  private void save(Checkpoints checkpoints, MetricsLog metrics) {
    share.write(() -> write(checkpoints, metrics));
    lastSave = System.nanoTime();
  }

  private void write(Checkpoints checkpoints, MetricsLog metrics) {
    if (!share.writes()) {
      return;
    }
    if (unwritten != null) {
      throw unwritten;
    }
    metrics.force();
    try (Arena arena = Arena.ofConfined()) {
      ObjectNode state = position.json();
      state.put("seed", settings.seed());
      state.put(TAU, tau());
      state.put(SPENT, spent);
      state.put(THETA_EVERY, turns.every());
      state.set(MULTIPLIERS, ascent.json());
      checkpoints.write(
          new Checkpoints.Snapshot(
              position.steps(),
              position.epoch(),
              position.phase().name(),
              supernet.tensors(arena),
              RankShare.environment(backend),
              data.fingerprint(),
              state));
    }
    log.trained(position.steps(), spent);
  }
}
