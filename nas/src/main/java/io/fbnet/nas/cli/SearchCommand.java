package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.Search;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
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
    if (changedData.accepted && resume == null) {
      throw UserException.usage("%s needs --resume", ChangedData.NAME);
    }
    return flags.ranks.together(spec, this::search);
  }

  private int search(Console console) {
    if (flags.strategy.evaluator().kind() != EvaluatorChoice.Kind.SUPERNET) {
      return withoutSupernet(console);
    }
    if (dryRun) {
      if (out != null) {
        RunFolder.requireNew(out);
      }
      try (ProgressLine progress = progress();
          SearchSession session = new SearchSession(flags, Optional.empty(), console, progress)) {
        SearchRun.requireFreeSpace(out == null ? RunConfig.RUNS : out, session.search);
        console.print(DryRun.of(session.search));
      }
      return 0;
    }
    return resume != null ? resume(console) : begin(console);
  }

  /** A search in which a table or trainings judge what a controller proposes. */
  private int withoutSupernet(Console console) {
    if (dryRun) {
      throw UserException.usage(
          "--dry-run tries the steps of a supernet, and --evaluator %s trains none",
          flags.strategy.evaluator().text());
    }
    flags.ranks.requireOne("a search whose evaluator trains no supernet");
    if (resume == null) {
      flags.resolve();
    }
    try (RunFolder folder =
            resume == null ? RunConfig.newFolder(out, spaceName()) : RunFolder.open(resume);
        ProgressLine progress = progress();
        EvaluatedRun run =
            new EvaluatedRun(
                flags,
                resume == null ? Optional.empty() : Optional.of(folder.files()),
                Optional.empty(),
                console,
                progress)) {
      if (resume == null) {
        run.begin(folder, ConfigFile.resolved(spec, EvaluatedRun.NOT_OF_THE_RUN));
      }
      CommandSpec all = spec.mixins().get("flags");
      run.toTheEnd(
          folder,
          ConfigFile.resolved(all.mixins().get("data"), List.of())
              + ConfigFile.resolved(all.mixins().get("device"), List.of()),
          changedData.accepted,
          console,
          progress,
          StopSignals.take(console),
          new Continuation("fbnet search --resume " + folder.root()));
    }
    return 0;
  }

  private String spaceName() {
    return Path.of(flags.space).getFileName().toString().replaceFirst("\\.ya?ml$", "");
  }

  private ProgressLine progress() {
    return flags.ranks.progress(spec);
  }

  private int begin(Console console) {
    flags.resolve();
    try (RunFolder folder = flags.ranks.folder(() -> RunConfig.newFolder(out, spaceName()));
        ProgressLine progress = progress();
        SearchSession session = new SearchSession(flags, Optional.empty(), console, progress)) {
      SearchRun run = run(session.search, folder, console, progress);
      flags.ranks.first(() -> run.begin(ConfigFile.resolved(spec, SearchRun.NOT_OF_THE_RUN)));
      return run.toTheEnd();
    }
  }

  private SearchRun run(Search search, RunFolder folder, Console console, ProgressLine progress) {
    return new SearchRun(
        search,
        folder,
        flags,
        console,
        progress,
        flags.ranks.signals(console),
        new Continuation("fbnet search --resume " + folder.root()));
  }

  private int resume(Console console) {
    try (RunFolder folder = flags.ranks.folder(() -> RunFolder.open(resume));
        ProgressLine progress = progress();
        SearchSession session =
            new SearchSession(flags, Optional.of(folder.files()), console, progress)) {
      SearchRun run = run(session.search, folder, console, progress);
      run.restore(changedData.accepted);
      return run.toTheEnd();
    }
  }
}
