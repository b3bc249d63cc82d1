package io.fbnet.nas.train;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.HostMemory;
import io.fbnet.engine.backend.Readback;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.run.RunFolder;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Trains one architecture to the end of its recipe. Everything that a step depends on is either in
 * the checkpoint or a function of the seed and the position, so a resumed run computes what an
 * unbroken one would have. Checkpoints fall between steps, so gathered gradients need no saving.
 */
public final class TrainLoop {
  private static final int STREAM = 4;
  private static final String PHASE = "train";

  /** Where a checkpoint keeps the hash of the model that the training began from. */
  private static final String ORIGIN = "from";

  /** Two batches may be on their way to the device while two more are read. */
  private static final int SLOTS = 4;

  private static final Duration BETWEEN_CHECKPOINTS = Duration.ofSeconds(60);

  private final Backend backend;
  private final Trainer trainer;
  private final Recipe recipe;
  private final Dataset data;
  private final int[] images;
  private final int stepsPerEpoch;
  private int epoch;
  private int stepInEpoch;
  private long steps;
  private long lastSave = System.nanoTime();

  /** What could not be logged, of which all learn when they save next, and that is soon. */
  private UserException unwritten;

  private Part inFlight;
  private final RankShare share;
  private StepTotals totals = new StepTotals();
  private Path root;

  /**
   * A part of a step that was launched and whose results are on their way.
   *
   * @param last whether the step is whole with it
   * @param step of the part, from 1
   * @param batch which the device may still copy
   */
  private record Part(
      boolean last, long step, int epoch, double rate, Batch batch, Readback results) {}

  /**
   * A training at its beginning.
   *
   * @param backend where the trainer runs
   * @param trainer the parameters and the compiled step; the caller closes it
   * @param data the images; the training split is read
   * @throws UserException (exit code 3) where the images do not make one step
   */
  public TrainLoop(Backend backend, Trainer trainer, Dataset data) {
    this.backend = backend;
    this.trainer = trainer;
    this.data = data;
    recipe = trainer.recipe();
    share = trainer.share();
    images = recipe.trained(data.train());
    stepsPerEpoch = recipe.stepsPerEpoch(images.length, data.name());
  }

  /** {@return whether every epoch is done} */
  public boolean finished() {
    return epoch >= recipe.schedule().epochs();
  }

  /** {@return steps done so far} */
  public long stepsDone() {
    return steps;
  }

  /** {@return steps of the whole training} */
  public long totalSteps() {
    return (long) recipe.schedule().epochs() * stepsPerEpoch;
  }

  /** {@return how many images are trained on} */
  public int images() {
    return images.length;
  }

  /** {@return images that drop out of every epoch because they fill no whole step} */
  public int droppedImages() {
    return images.length - stepsPerEpoch * recipe.batch() * recipe.accumulate();
  }

  /**
   * Goes on from a checkpoint instead of the beginning.
   *
   * @param checkpoint of a run by the same recipe on the same data
   * @throws UserException (exit code 3) if its tensors are of another network, or the training did
   *     not begin from the model that this one does
   */
  public void restore(Checkpoints.Found checkpoint) {
    String origin = checkpoint.manifest().state().path(ORIGIN).asText("");
    if (!origin.equals(trainer.origin())) {
      throw UserException.data(
          "the model that this run began from has changed (its SHA-256 was '%s' and is '%s'): put"
              + " it back as %s, or begin a new run",
          origin, trainer.origin(), RunFiles.FROM);
    }
    trainer.restore(checkpoint);
    epoch = (int) checkpoint.count("epoch", Integer.MAX_VALUE);
    stepInEpoch = (int) checkpoint.count("step_in_epoch", Integer.MAX_VALUE / recipe.accumulate());
    steps = checkpoint.manifest().step();
  }

  /**
   * Runs to the end, or until the observer asks to stop.
   *
   * @param folder where checkpoints are written
   * @param metrics gets one line a step
   * @param observer told of every step
   * @return whether the training is finished
   * @throws UserException (exit code 6) where a loss or gradient is not finite; no weight was
   *     touched by that step, and the last checkpoint stays; (exit code 5) where a file cannot be
   *     written
   */
  public boolean run(RunFolder folder, MetricsLog metrics, TrainObserver observer) {
    if (trainer.normalisation().pixels() != data.normalisation().pixels()) {
      throw new IllegalArgumentException(
          "the step takes pixels as "
              + trainer.normalisation().pixels()
              + ", the images have "
              + data.normalisation().pixels());
    }
    root = folder.root();
    Checkpoints checkpoints = folder.checkpoints(Checkpoints.LEAST_KEPT);
    share.requireSameImages(data.fingerprint());
    share.requireEqual(trainer.store());
    if (steps == 0) {
      save(checkpoints, metrics);
    }
    try (HostMemory memory = backend.hostMemory();
        BatchLoader loader =
            share
                .of(BatchLoader.over(data.train(), images))
                .augmentation(recipe.augmentation())
                .normalisation(trainer.normalisation())
                .random(recipe.seed(), STREAM)
                .balance(recipe.balance())
                .shuffle(true)
                .dropLast(true)
                .allocator(memory)
                .manualRelease(true)
                .slots(SLOTS)
                .build()) {
      while (!finished()) {
        boolean through = epoch(loader, checkpoints, metrics, observer);
        share.requireEqual(trainer.store());
        if (!through) {
          // Whoever is told to end waits for rank 0 when it leaves.
          write(checkpoints, metrics);
          return false;
        }
        epoch++;
        stepInEpoch = 0;
        save(checkpoints, metrics);
      }
    }
    return true;
  }

  private boolean epoch(
      BatchLoader loader, Checkpoints checkpoints, MetricsLog metrics, TrainObserver observer) {
    loader.start(epoch, stepInEpoch * recipe.accumulate());
    while (stepInEpoch < stepsPerEpoch) {
      step(loader, metrics, observer);
      boolean[] asked =
          share.any(
              observer.stopRequested(),
              unwritten != null || System.nanoTime() - lastSave > BETWEEN_CHECKPOINTS.toNanos());
      if (asked[0]) {
        finish(metrics, observer);
        return stepInEpoch == stepsPerEpoch && epoch + 1 == recipe.schedule().epochs();
      }
      if (asked[1]) {
        finish(metrics, observer);
        save(checkpoints, metrics);
      }
    }
    finish(metrics, observer);
    return true;
  }

  private void step(BatchLoader loader, MetricsLog metrics, TrainObserver observer) {
    double rate = recipe.schedule().at(steps, stepsPerEpoch);
    for (int part = 0; part < recipe.accumulate(); part++) {
      boolean last = part == recipe.accumulate() - 1;
      if (last && part > 0) {
        // The update must not come before it is known that every part was finite.
        finish(metrics, observer);
      }
      Batch batch = loader.next();
      Part launched =
          new Part(last, steps + 1, epoch, rate, batch, trainer.launch(batch, part, steps, rate));
      // A GPU already works on this part while the host looks at the one before.
      finish(metrics, observer);
      inFlight = launched;
      // Several ranks would not all find the same.
      if (share.ranks() == 1 && launched.results().arrived()) {
        finish(metrics, observer);
      }
    }
    steps++;
    stepInEpoch++;
  }

  /** Takes the results of the part that is on its way, if there is one. */
  private void finish(MetricsLog metrics, TrainObserver observer) {
    if (inFlight == null) {
      return;
    }
    Part part = inFlight;
    inFlight = null;
    boolean finite = totals.add(part.results().await());
    part.batch().release();
    if (finite && !part.last()) {
      return;
    }
    // Whether it is finite all ranks find alike.
    totals.over(share);
    if (!finite) {
      metrics.force();
      throw diverged(part);
    }
    log(metrics, part.step(), line(part));
    observer.step(part.step(), totalSteps(), part.epoch(), totals.loss(), totals.accuracy());
    totals = new StepTotals();
  }

  private Map<String, Object> line(Part part) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("epoch", part.epoch());
    line.put("phase", PHASE);
    line.put("loss", (float) totals.loss());
    line.put("ce", (float) totals.crossEntropy());
    line.put("accuracy", (float) totals.accuracy());
    line.put("rate", (float) part.rate());
    return line;
  }

  private UserException diverged(Part part) {
    Map<String, Object> line = line(part);
    line.put("step", part.step());
    line.put("seed", recipe.seed());
    Path report =
        share.writes() ? Divergence.write(root, line, trainer.store()) : Divergence.report(root);
    return new UserException(
        ExitCode.DIVERGED,
        String.format(
            Locale.ROOT,
            "The step after step %d, in epoch %d, gave a loss of %s or a gradient that is no"
                + " number; it touched no weight and the last checkpoint is good: start a new run"
                + " with a lower --rate or a longer --warmup-epochs (%s says which tensors are no"
                + " numbers).",
            part.step() - 1,
            part.epoch() + 1,
            (float) totals.loss(),
            report));
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
      ObjectNode state = JsonNodeFactory.instance.objectNode();
      state.put("epoch", epoch);
      state.put("step_in_epoch", stepInEpoch);
      state.put("seed", recipe.seed());
      if (!trainer.origin().isEmpty()) {
        state.put(ORIGIN, trainer.origin());
      }
      checkpoints.write(
          new Checkpoints.Snapshot(
              steps,
              epoch,
              PHASE,
              trainer.tensors(arena),
              RankShare.environment(backend),
              data.fingerprint(),
              state));
    }
  }
}
