package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.train.Pretrained;
import io.fbnet.nas.train.RankShare;
import io.fbnet.nas.train.Recipe;
import io.fbnet.nas.train.TrainLoop;
import io.fbnet.nas.train.TrainObserver;
import io.fbnet.nas.train.Trainer;
import java.util.Locale;
import java.util.Optional;

/**
 * Trains architectures in run folders, from the beginning or from where a folder's newest
 * checkpoint stands.
 */
final class ChildTraining {
  private static final int CHECKPOINTS_ON_DISK = 3;

  private final Backend backend;
  private final Dataset data;
  private final Recipe recipe;
  private final boolean changedData;
  private final Console console;
  private final ProgressLine progress;
  private final StopSignals signals;
  private final Continuation continuation;

  /**
   * Trains by one recipe.
   *
   * @param changedData whether a run goes on with images that are not its checkpoint's
   * @param continuation by which the user goes on after a stop
   */
  ChildTraining(
      Backend backend,
      Dataset data,
      Recipe recipe,
      boolean changedData,
      Console console,
      ProgressLine progress,
      StopSignals signals,
      Continuation continuation) {
    this.backend = backend;
    this.data = data;
    this.recipe = recipe;
    this.changedData = changedData;
    this.console = console;
    this.progress = progress;
    this.continuation = continuation;
    this.signals = signals;
  }

  /**
   * Trains one architecture to the end.
   *
   * @param from what it begins with, which is not drawn
   * @param what is trained, for the progress line; may be empty
   * @throws UserException where a signal stopped it (exit codes 130 and 143) or it diverged (6)
   */
  TrainedNetwork train(
      RunFolder folder,
      Architecture architecture,
      Optional<TrainedNetwork.Latency> latency,
      Optional<Pretrained> from,
      String what) {
    try (Trainer trainer =
        from.isPresent()
            ? new Trainer(backend, architecture, recipe, from.get())
            : new Trainer(backend, architecture, data.normalisation(), recipe)) {
      TrainLoop loop = new TrainLoop(backend, trainer, data);
      if (trainer.share().writes()) {
        Checkpoints.requireFreeSpace(
            folder.root(), CHECKPOINTS_ON_DISK * trainer.checkpointBytes());
      }
      restore(folder, loop);
      say(folder, loop);
      trainer.slowKernels().forEach(console::warn);
      boolean finished;
      try (MetricsLog metrics =
          trainer.share().writes() ? MetricsLog.open(folder.metrics()) : MetricsLog.none()) {
        finished =
            continuation.of(() -> loop.run(folder, metrics, new Watcher(progress, signals, what)));
      } catch (UserException e) {
        progress.clear();
        throw e;
      }
      progress.clear();
      if (!finished) {
        throw new UserException(
            signals.receivedHereOrElsewhere(),
            String.format(
                Locale.ROOT,
                "stopped and saved after step %d of %d; continue with: %s",
                loop.stepsDone(),
                loop.totalSteps(),
                continuation.command()));
      }
      return trainer.network(data, latency);
    }
  }

  private void restore(RunFolder folder, TrainLoop loop) {
    Optional<Checkpoints.Found> found =
        folder.checkpoints(Checkpoints.LEAST_KEPT).newestValid(console::warn);
    if (found.isPresent()) {
      found.get().requireData(data.fingerprint(), changedData, console::warn);
      found.get().differences(RankShare.environment(backend)).forEach(console::warn);
      loop.restore(found.get());
      console.note("resumed after step " + loop.stepsDone());
    }
    if (backend.communicator().rank() == 0) {
      MetricsLog.truncateAfter(folder.metrics(), loop.stepsDone());
    }
  }

  private void say(RunFolder folder, TrainLoop loop) {
    console.note(
        String.format(
            Locale.ROOT,
            "run folder %s, seed %d, %d images train, %d steps",
            folder.root(),
            recipe.seed(),
            loop.images(),
            loop.totalSteps()));
    if (loop.droppedImages() > 0) {
      console.note(
          String.format(
              Locale.ROOT,
              "%d images an epoch fill no whole step and are left out, others each time",
              loop.droppedImages()));
    }
    if (recipe.accumulate() > 1) {
      int norm = recipe.batch() / (recipe.sharedNorms() ? 1 : backend.communicator().size());
      console.note(
          String.format(
              Locale.ROOT,
              "each step adds up the gradients of %d batches of %d; batch norms use the statistics"
                  + " of each %d images, so this is not quite a batch of %d",
              recipe.accumulate(),
              recipe.batch(),
              norm,
              recipe.accumulate() * recipe.batch()));
    }
  }

  /** Shows progress and passes signals on. */
  private record Watcher(ProgressLine progress, StopSignals signals, String what)
      implements TrainObserver {
    @Override
    public void step(long done, long total, int epoch, double loss, double accuracy) {
      progress.update(
          done,
          total,
          String.format(
              Locale.ROOT,
              "%sepoch %d, loss %.4f, accuracy %.3f",
              what,
              epoch + 1,
              loss,
              accuracy));
    }

    @Override
    public boolean stopRequested() {
      return signals.received() != null;
    }
  }
}
