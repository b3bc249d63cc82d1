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
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet search}: from images and a device to an architecture. */
@Command(
    name = "search",
    description =
        "Searches an architecture for this device: measures its latency table, trains the supernet"
            + " and theta on the images, samples, and writes the best.")
final class SearchCommand implements Callable<Integer> {
  private static final int CHECKPOINTS_ON_DISK = 3;
  private static final Set<String> NOT_OF_THE_RUN =
      Set.of("out", "resume", "dry-run", ChangedData.NAME.substring(2));

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin SearchFlags flags;
  @Mixin ChangedData changedData;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "The run's folder, a new one. Default: runs/SPACE-TIME.")
  Path out;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description =
          "Continues the run in this folder from its newest whole checkpoint, with its own"
              + " configuration.")
  Path resume;

  @Option(
      names = "--dry-run",
      description =
          "Builds everything, runs two steps of each kind, and says the memory planned and the"
              + " time expected; writes nothing.")
  boolean dryRun;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    if (changedData.accepted && resume == null) {
      throw UserException.usage("%s needs --resume", ChangedData.NAME);
    }
    if (dryRun) {
      if (out != null) {
        RunFolder.requireNew(out);
      }
      try (ProgressLine progress = progress();
          SearchSession session = new SearchSession(flags, Optional.empty(), console, progress)) {
        requireFreeSpace(out == null ? RunConfig.RUNS : out, session.search);
        console.print(DryRun.of(session.search));
      }
      return 0;
    }
    return resume != null ? resume(console) : begin(console);
  }

  private ProgressLine progress() {
    return new ProgressLine(spec.commandLine().getErr());
  }

  private int begin(Console console) {
    flags.resolve();
    String space = Path.of(flags.space).getFileName().toString().replaceFirst("\\.ya?ml$", "");
    try (RunFolder folder = RunConfig.newFolder(out, space);
        ProgressLine progress = progress();
        SearchSession session = new SearchSession(flags, Optional.empty(), console, progress)) {
      requireFreeSpace(folder.root(), session.search);
      session.search.space().write(folder.files().space());
      session.search.table().write(folder.latency());
      // The configuration last: it is what makes the folder a run that can be resumed.
      AtomicFile.writeText(folder.config(), ConfigFile.resolved(spec, NOT_OF_THE_RUN));
      return train(session.search, folder, console, progress);
    }
  }

  private static void requireFreeSpace(Path root, Search search) {
    Checkpoints.requireFreeSpace(root, CHECKPOINTS_ON_DISK * search.supernet().checkpointBytes());
  }

  private int resume(Console console) {
    try (RunFolder folder = RunFolder.open(resume);
        ProgressLine progress = progress();
        SearchSession session =
            new SearchSession(flags, Optional.of(folder.files()), console, progress)) {
      Search search = session.search;
      if (search.restore(folder, changedData.accepted, console::warn)) {
        console.note("resumed after step " + search.loop().stepsDone());
      } else {
        console.note("no checkpoint yet: the run starts from its beginning");
      }
      return train(search, folder, console, progress);
    }
  }

  private int train(Search search, RunFolder folder, Console console, ProgressLine progress) {
    StopSignals signals = StopSignals.take(console);
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
    Continuation continuation = new Continuation("fbnet search --resume " + folder.root());
    Watcher watcher = new Watcher(console, progress, signals, search.strategy().trainsTheta());
    Optional<Selection> explored = Optional.empty();
    try {
      if (!continuation.of(() -> search.run(folder, watcher))) {
        String done =
            String.format(Locale.ROOT, "after step %d of %d", loop.stepsDone(), loop.totalSteps());
        throw stopped(signals, done, continuation);
      }
      if (!search.strategy().trainsTheta()) {
        explored = continuation.of(() -> explore(search, folder, watcher));
        if (explored.isEmpty()) {
          throw stopped(signals, "between the networks that are scored", continuation);
        }
      }
    } catch (UserException e) {
      progress.clear();
      throw e;
    }
    progress.close();
    if (explored.isPresent()) {
      SampleReport.write(search, folder, explored.get(), console);
    } else {
      continuation.of(
          () -> SampleReport.run(search, folder, flags.samples, false, console, progress));
    }
    ReportCommand.write(folder.files(), console);
    return 0;
  }

  private Optional<Selection> explore(Search search, RunFolder folder, Watcher watcher) {
    return search.explore(
        search.strategy().name(),
        search.strategy().controller().orElseThrow(),
        folder.files().evaluations(),
        flags.strategy.evaluations,
        watcher);
  }

  private static UserException stopped(
      StopSignals signals, String done, Continuation continuation) {
    return new UserException(
        signals.received(),
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
