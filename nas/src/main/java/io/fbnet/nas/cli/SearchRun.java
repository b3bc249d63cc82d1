package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchLoop;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.search.Selection;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** A search in its run folder, from its beginning or from where it was stopped, to its result. */
final class SearchRun {
  /** Flags that a run's configuration lacks: a cost is written as the epochs that it gives. */
  static final Set<String> NOT_OF_THE_RUN =
      Set.of("out", "resume", "dry-run", "cost", ChangedData.NAME.substring(2));

  private static final int CHECKPOINTS_ON_DISK = 3;

  private final Search search;
  private final RunFolder folder;
  private final SearchFlags flags;
  private final Console console;
  private final ProgressLine progress;
  private final StopSignals signals;
  private final Continuation continuation;

  /**
   * A run.
   *
   * @param search at its beginning
   * @param flags resolved ones
   * @param continuation by which the user goes on after a stop
   */
  SearchRun(
      Search search,
      RunFolder folder,
      SearchFlags flags,
      Console console,
      ProgressLine progress,
      StopSignals signals,
      Continuation continuation) {
    this.search = search;
    this.folder = folder;
    this.flags = flags;
    this.console = console;
    this.progress = progress;
    this.signals = signals;
    this.continuation = continuation;
  }

  static void requireFreeSpace(Path root, Search search) {
    Checkpoints.requireFreeSpace(root, CHECKPOINTS_ON_DISK * search.supernet().checkpointBytes());
  }

  /** Writes what the run is. */
  void begin(String configuration) {
    requireFreeSpace(folder.root(), search);
    search.space().write(folder.files().space());
    search.table().write(folder.latency());
    // The configuration last: it is what makes the folder a run that can be resumed.
    AtomicFile.writeText(folder.config(), configuration);
  }

  /** Goes to the newest checkpoint. */
  void restore(boolean changedData) {
    if (search.restore(folder, changedData, console::warn)) {
      console.note("resumed after step " + search.loop().stepsDone());
    } else {
      console.note("no checkpoint yet: the run starts from its beginning");
    }
  }

  /** Trains and chooses; returns the exit code. */
  int toTheEnd() {
    SearchLoop loop = search.loop();
    console.note(
        String.format(
            Locale.ROOT,
            "run folder %s, strategy %s, seed %d, %d images train w, %d %s",
            folder.root(),
            search.strategy().name(),
            flags.seed,
            loop.splits().first().length,
            loop.splits().second().length,
            search.strategy().trainsTheta() ? "train theta" : "score networks"));
    if (loop.droppedImages() > 0) {
      console.note(
          String.format(
              Locale.ROOT,
              "%d images an epoch fill no whole batch and are left out, others each time",
              loop.droppedImages()));
    }
    if (search.strategy().sampling().isEmpty()) {
      search.supernet().weightStep().slowKernels().forEach(console::warn);
    }
    Watcher watcher = new Watcher(console, progress, signals, search.strategy().trainsTheta());
    Optional<Selection> explored = Optional.empty();
    try {
      if (!continuation.of(() -> search.run(folder, watcher))) {
        String done =
            String.format(Locale.ROOT, "after step %d of %d", loop.stepsDone(), loop.totalSteps());
        throw stopped(done);
      }
      if (!search.strategy().trainsTheta() && search.supernet().share().writes()) {
        explored = continuation.of(() -> explore(watcher));
        if (explored.isEmpty()) {
          throw stopped("between the networks that are scored");
        }
      }
    } catch (UserException e) {
      progress.clear();
      throw e;
    }
    progress.close();
    if (!search.supernet().share().writes()) {
      // Ranks share the scoring of draws; what a controller proposes rank 0 scores alone.
      if (search.strategy().trainsTheta()) {
        var _ = search.select(flags.samples);
      }
      return 0;
    }
    if (explored.isPresent()) {
      SampleReport.write(search, folder, explored.get(), console);
    } else {
      continuation.of(
          () -> SampleReport.run(search, folder, flags.samples, false, console, progress));
    }
    ReportCommand.write(folder.files(), console);
    return 0;
  }

  private Optional<Selection> explore(Watcher watcher) {
    return search.explore(
        search.strategy().name(),
        search.strategy().controller().orElseThrow(),
        folder.files().evaluations(),
        flags.strategy.evaluations,
        watcher);
  }

  private UserException stopped(String done) {
    return new UserException(
        signals.receivedHereOrElsewhere(),
        String.format(
            Locale.ROOT, "stopped and saved %s; continue with: %s", done, continuation.command()));
  }

  /** Shows progress and passes signals on. */
  private record Watcher(Console console, ProgressLine progress, StopSignals signals, boolean theta)
      implements SearchObserver {
    @Override
    public void step(
        long done,
        long total,
        int epoch,
        String phase,
        double loss,
        double accuracy,
        double latencyMs) {
      progress.update(
          done,
          total,
          String.format(
              Locale.ROOT,
              "epoch %d %-5s loss %.4f, accuracy %.3f, %.3f ms",
              epoch + 1,
              phase,
              loss,
              accuracy,
              latencyMs));
    }

    @Override
    public void epoch(int epoch, double expectedMs, double entropyBits) {
      progress.clear();
      if (!theta) {
        console.note("epoch " + (epoch + 1) + " done");
        return;
      }
      console.note(
          String.format(
              Locale.ROOT,
              "epoch %d done: expected latency %.4f ms, entropy %.2f bits a layer",
              epoch + 1,
              expectedMs,
              entropyBits));
    }

    @Override
    public void evaluated(int done, int total, ArchitectureScorer.Score score) {
      progress.update(
          done,
          total,
          String.format(
              Locale.ROOT,
              "network %d: accuracy %.4f at %.4f ms",
              done,
              score.accuracy(),
              score.latencyMs()));
    }

    @Override
    public boolean stopRequested() {
      return signals.received() != null;
    }
  }
}
