package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.ArchitectureScorer.Score;
import io.fbnet.nas.search.ProposedSearch;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import io.fbnet.nas.strategy.AccuracyTable;
import io.fbnet.nas.strategy.Evaluator;
import io.fbnet.nas.strategy.Spent;
import io.fbnet.nas.train.Evaluation;
import io.fbnet.nas.train.Quality;
import io.fbnet.nas.train.RateSchedule;
import io.fbnet.nas.train.Recipe;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A search without a supernet: a controller proposes networks, and a table of known accuracies or
 * trainings from scratch judge them.
 */
final class EvaluatedRun implements AutoCloseable {
  /** Of many networks, how many are printed. */
  private static final int SHOWN = 6;

  /** Flags that its configuration lacks: there are no epochs of a supernet. */
  static final Set<String> NOT_OF_THE_RUN =
      Set.of(
          "out",
          "resume",
          "dry-run",
          "epochs",
          "warmup-epochs",
          "epoch-batches",
          ChangedData.NAME.substring(2));

  private final SearchFlags flags;
  private final EvaluatorChoice how;
  private final ProposedSearch search;
  private final Optional<LatencyTable> table;
  private final double macs;

  /** Of a table alone. */
  private final Optional<AccuracyTable> known;

  /** Of trainings alone. */
  private Dataset data;

  private Backend backend;

  /**
   * Opens what the search needs.
   *
   * @param run the run whose own space and table are taken; empty to take what the flags say
   * @param read the known accuracies, where they were read before
   */
  EvaluatedRun(
      SearchFlags flags,
      Optional<RunFiles> run,
      Optional<AccuracyTable> read,
      Console console,
      ProgressLine progress) {
    this.flags = flags;
    SearchSpace named =
        run.isPresent()
            ? flags.resolve(SearchSpace.load(run.get().space().toString()))
            : flags.resolve();
    how = flags.strategy.evaluator();
    boolean trains = how.kind() == EvaluatorChoice.Kind.TRAIN;
    known =
        trains || read.isPresent()
            ? read
            : Optional.of(AccuracyTable.load(Path.of(how.file()), named));
    macs = cost();
    boolean opened = false;
    try {
      if (trains) {
        data = flags.data.open(named, flags.data.data, flags.seed, flags.device.threads(), console);
      }
      SearchSpace space = trains ? Search.fitted(named, data) : named;
      if (trains) {
        flags.augmentation.resolve(data, console::note);
        recipe().require(data);
        if (run.isEmpty()) {
          int[] trained = recipe().trained(data.train());
          ClassFlags.warn(recipe().balance(), data.train(), trained, console);
        }
        backend = flags.device.open(console);
      }
      table = tableOf(run, space, console, progress);
      Budget budget =
          table.isPresent()
              ? flags.budget.budget(table.get(), space)
              : flags.budget.withoutTable(space);
      search = new ProposedSearch(space, table, budget, flags.settings());
      opened = true;
    } finally {
      if (!opened) {
        close();
      }
    }
  }

  /** The multiply-adds after which no further network is judged. */
  private double cost() {
    if (flags.cost == null) {
      return Double.POSITIVE_INFINITY;
    }
    CostAmount cost = CostAmount.parse("--cost", flags.cost);
    if (cost.unit() != CostAmount.Unit.MACS) {
      throw UserException.usage(
          "--cost %s is counted in steps of a supernet, and --evaluator %s trains none: give"
              + " multiply-adds, or --evaluations",
          flags.cost, how.text());
    }
    if (known.isPresent() && !known.get().knowsMacs()) {
      throw UserException.data(
          "%s does not say of every network what judging it took (spent_macs), so no --cost can be"
              + " held: limit the search by --evaluations",
          how.file());
    }
    return cost.amount();
  }

  private Optional<LatencyTable> tableOf(
      Optional<RunFiles> run, SearchSpace space, Console console, ProgressLine progress) {
    if (run.isPresent() && Files.exists(run.get().latency())) {
      return Optional.of(LatencyTable.load(run.get().latency().toString()));
    }
    if (backend != null) {
      return Optional.of(TableSource.open(flags.lut, space, backend, console, progress));
    }
    if (flags.lut != null) {
      LatencyTable named = LatencyTable.load(flags.lut);
      named.requireFits(space, console::warn);
      return Optional.of(named);
    }
    if (flags.budget.limitsLatency()) {
      throw UserException.usage(
          "a limit of latency needs a latency table, and --evaluator %s opens no device to measure"
              + " one: name it by --lut",
          how.text());
    }
    return Optional.empty();
  }

  /** How networks are trained: by the search's flags, on the images that would train w. */
  private Recipe recipe() {
    return new Recipe(
        flags.seed,
        flags.batch,
        1,
        flags.trainImages,
        flags.settings().heldOut(),
        new RateSchedule(RateSchedule.Kind.COSINE, flags.rate, how.epochs(), 0, List.of(), 0.1),
        flags.momentum,
        flags.weightDecay,
        0,
        flags.classes.balance(),
        0,
        flags.augmentation.augmentation(),
        false);
  }

  /** What every training is, in the form of a training's own configuration. */
  private String recipeText() {
    return String.format(
        Locale.ROOT,
        """
        seed: %d
        epochs: %d
        batch: %d
        train-images: %d
        rate: %s
        schedule: "cosine"
        momentum: %s
        weight-decay: %s
        %s\
        """,
        flags.seed,
        how.epochs(),
        flags.batch,
        flags.trainImages,
        flags.rate,
        flags.momentum,
        flags.weightDecay,
        flags.augmentation.text() + ClassFlags.text(flags.classes.balance()));
  }

  ProposedSearch search() {
    return search;
  }

  /** The known accuracies, where they judge. */
  Optional<AccuracyTable> known() {
    return known;
  }

  /** Writes what the run is. */
  void begin(RunFolder folder, String configuration) {
    search.space().write(folder.files().space());
    table.ifPresent(t -> t.write(folder.latency()));
    // The configuration last: it is what makes the folder a run that can be resumed.
    AtomicFile.writeText(folder.config(), configuration);
  }

  /** Searches, and writes the best. */
  void toTheEnd(
      RunFolder folder,
      String dataAndDevice,
      boolean changedData,
      Console console,
      ProgressLine progress,
      StopSignals signals,
      Continuation continuation) {
    Optional<FromScratch> trainings =
        data == null
            ? Optional.empty()
            : Optional.of(
                new FromScratch(
                    backend,
                    data,
                    recipe(),
                    recipeText(),
                    dataAndDevice,
                    changedData,
                    console,
                    progress,
                    signals,
                    continuation));
    Evaluator evaluator =
        trainings.isPresent()
            ? choice -> judge(trainings.get(), folder, choice)
            : known.orElseThrow();
    console.note(
        String.format(
            Locale.ROOT,
            "run folder %s, strategy %s, seed %d, networks judged by %s",
            folder.root(),
            flags.strategy.strategy,
            flags.seed,
            how.text()));
    Optional<List<Score>> scores =
        search.run(
            flags.strategy.resolve().controller().orElseThrow(),
            evaluator,
            folder.files(),
            flags.strategy.evaluations,
            macs,
            observer(progress, signals));
    progress.close();
    if (scores.isEmpty()) {
      throw new UserException(
          signals.received(),
          "stopped between the networks that are judged; continue with: " + continuation.command());
    }
    List<Score> ranked = search.ranked(scores.get());
    String test = "";
    if (trainings.isPresent()) {
      test = test(trainings.get(), folder, ranked.getFirst(), scores.get());
    }
    ranked.getFirst().architecture().write(folder.architecture());
    console.print(text(ranked, folder) + test);
    if (trainings.isPresent()) {
      ReportCommand.write(folder.files(), console);
    }
  }

  private static Path root(RunFolder folder, int[] choice) {
    String name =
        Arrays.stream(choice).mapToObj(Integer::toString).collect(Collectors.joining("-"));
    return folder.root().resolve("networks").resolve(name);
  }

  private FromScratch.Trained train(FromScratch trainings, RunFolder folder, int[] choice) {
    Architecture network = Architecture.of("", search.space(), choice);
    LatencyTable latencies = table.orElseThrow();
    return trainings.train(
        root(folder, choice),
        network,
        Optional.of(
            new TrainedNetwork.Latency(
                latencies.device(), latencies.latencyOf(network), folder.latency().toString())),
        "network " + network.blockLine());
  }

  private Evaluator.Judgement judge(FromScratch trainings, RunFolder folder, int[] choice) {
    long start = System.nanoTime();
    Quality quality = train(trainings, folder, choice).quality();
    double seconds = (System.nanoTime() - start) / 1e9;
    double spent = recipe().macs(Architecture.of("", search.space(), choice), data);
    return new Evaluator.Judgement(
        quality.accuracy(), quality.crossEntropy(), new Spent(1, spent, seconds));
  }

  /** Reads the test images once, for the best, and writes it. */
  private String test(FromScratch trainings, RunFolder folder, Score best, List<Score> scores) {
    TrainedNetwork network = train(trainings, folder, best.architecture().choice()).network();
    int[] all = IntStream.range(0, data.test().size()).toArray();
    Quality quality = Quality.of(backend, network, data.test(), all, flags.batch);
    Evaluation test = new Evaluation(quality.accuracy(), quality.crossEntropy());
    network.withTestAccuracy(test.accuracy()).write(folder.model());
    SamplesFile.of(flags.strategy.strategy, scores, List.of(), best, test, all.length)
        .write(folder.files().samples());
    return String.format(
        Locale.ROOT,
        "  accuracy %.4f on the %d test images of %s%s%n  written to %s%n",
        test.accuracy(),
        all.length,
        data.name(),
        data.generated() ? " (generated)" : "",
        folder.model());
  }

  private String text(List<Score> ranked, RunFolder folder) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%-18s %10s %10s   blocks%n",
            "best of " + ranked.size(),
            "latency",
            "accuracy"));
    for (int i = 0; i < Math.min(SHOWN, ranked.size()); i++) {
      Score score = ranked.get(i);
      text.append(
          String.format(
              Locale.ROOT,
              "%s %-16d %10s %10.4f   %s%n",
              i == 0 ? "*" : " ",
              i + 1,
              latency(score),
              score.accuracy(),
              score.architecture().blockLine()));
    }
    Architecture best = ranked.getFirst().architecture();
    Description description = Description.of(best);
    text.append(
        String.format(
            Locale.ROOT,
            "%nFound %s%n  %.2f M multiply-adds, %.3f M parameters%n  written to %s%n",
            best.blockLine(),
            description.macs() / 1e6,
            description.parameters() / 1e6,
            folder.architecture()));
    known.ifPresent(
        accuracies ->
            text.append(
                String.format(
                    Locale.ROOT,
                    "  mean accuracy %.4f, by %s%n",
                    accuracies.entry(best.choice()).mean(),
                    how.file())));
    return text.toString();
  }

  private static String latency(Score score) {
    return Double.isNaN(score.latencyMs())
        ? "-"
        : String.format(Locale.ROOT, "%.4f ms", score.latencyMs());
  }

  private static SearchObserver observer(ProgressLine progress, StopSignals signals) {
    return new SearchObserver() {
      @Override
      public void evaluated(int done, int total, Score score) {
        progress.update(
            done,
            total,
            String.format(Locale.ROOT, "network %d: accuracy %.4f", done, score.accuracy()));
      }

      @Override
      public boolean stopRequested() {
        return signals.received() != null;
      }
    };
  }

  @Override
  public void close() {
    if (backend != null) {
      backend.close();
    }
    if (data != null) {
      data.close();
    }
  }
}
