package io.fbnet.nas.cli;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.report.ComparedRun;
import io.fbnet.nas.report.Comparison;
import io.fbnet.nas.report.Measure;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.SearchCosts;
import io.fbnet.nas.strategy.AccuracyTable;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.IModelTransformer;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet compare-strategies}: searches of several strategies at equal cost. */
@Command(
    name = "compare-strategies",
    modelTransformer = CompareStrategiesCommand.WithoutWhatDiffers.class,
    description = {
      "Searches by several strategies and seeds at equal cost, with the same scorer and as many"
          + " networks scored, and sets what they find side by side: a table with Student's paired"
          + " t-test, results.json and report.html in the comparison's folder.",
      "",
      "Each search is a run in DIR/jobs. What is done is not repeated, what was stopped goes on:"
          + " --resume DIR. Several processes may do so at once; each takes searches that no other"
          + " holds. Under mpirun the processes share out what is left, the searches first and then"
          + " the trainings of --train."
    })
final class CompareStrategiesCommand implements Callable<Integer> {
  private static final String FOLDER = "strategies";
  private static final String SEARCH_FILE = "search.yaml";

  /** Flags that the folder's configuration lacks: it has a recipe of its own. */
  private static final Set<String> NOT_KEPT =
      Set.of("out", "resume", "recipe", ChangedData.NAME.substring(2));

  /** Flags of the comparison that no search of it has, or that differ between them. */
  private static final Set<String> NOT_SHARED =
      Set.of("strategies", "seeds", "base", "train", "oracle", "sampling", "evaluations");

  /** What a search is told beside what all share, so no flag of the comparison. */
  private static final List<String> DIFFERS =
      List.of(
          "--strategy", "--seed", "--samples", "--epochs", "--warmup-epochs", "--epoch-batches");

  /** Takes those flags away. */
  static final class WithoutWhatDiffers implements IModelTransformer {
    @Override
    public CommandSpec transform(CommandSpec spec) {
      for (String name : DIFFERS) {
        OptionSpec option = spec.findOption(name);
        if (option != null) {
          spec.remove(option);
        }
      }
      return spec;
    }
  }

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin SearchFlags flags;
  @Mixin ChangedData changedData;

  @Option(
      names = "--strategies",
      split = ",",
      paramLabel = "NAME",
      description =
          "The strategies, as search --strategy names them; fbnet search --help says what each is"
              + " and takes.")
  List<String> strategies = new ArrayList<>();

  @Option(
      names = "--seeds",
      split = ",",
      paramLabel = "SEED",
      description = "Each strategy searches with each of them. Default: 1,2,3.")
  List<Long> seeds = new ArrayList<>();

  @Option(
      names = "--base",
      paramLabel = "NAME",
      description =
          "The strategy that the others are tested against. Default: random, if it is among them,"
              + " else the first.")
  String base;

  @Option(
      names = "--train",
      paramLabel = "K",
      defaultValue = "0",
      description =
          "Trains the K best scored networks of each search from scratch, keeps the one that is"
              + " best on the held out images, and judges the search by it on the test images,"
              + " which are read once. 0: judges by shared weights.")
  int train;

  @Option(
      names = "--recipe",
      paramLabel = "FILE.yaml",
      description =
          "How: flags of fbnet train in the form of --config. Default: their defaults; the seed is"
              + " the search's.")
  Path recipe;

  @Option(
      names = "--oracle",
      paramLabel = "FILE",
      description =
          "Known accuracies of the space's networks judge everything, as by --evaluator table:FILE,"
              + " and results are regrets. Nothing is trained; the strategies must be controllers.")
  String oracle;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "The comparison's folder, a new one. Default: runs/strategies-TIME.")
  Path out;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description = "Goes on with the comparison in this folder, with its own configuration.")
  Path resume;

  private EvaluatedRun table;

  /** The largest mean accuracy within the budget that the table knows. */
  private double best;

  @Override
  public Integer call() {
    if (flags.ranks.syncBn) {
      throw UserException.usage(
          "--sync-bn is for steps that processes share, and here one process takes those of a"
              + " search: leave it out");
    }
    if (oracle != null) {
      oracle = RunConfig.anchored(oracle, List.of());
      String table = "table:" + oracle;
      String given = flags.strategy.evaluator().anchored();
      if (!given.equals("supernet") && !given.equals(table)) {
        throw UserException.usage(
            "--oracle and --evaluator %s do not go together: leave one out", given);
      }
      flags.strategy.evaluator = table;
    }
    if (resume == null) {
      check();
    }
    return flags.ranks.byJobs(spec, this::compare);
  }

  private int compare(Console console) {
    if (resume == null) {
      resume =
          Path.of(
              flags.ranks.ofFirst(
                  () -> {
                    begin(console);
                    return resume.toString();
                  }));
    }
    return work(console);
  }

  private EvaluatorChoice.Kind evaluator() {
    return flags.strategy.evaluator().kind();
  }

  private boolean trainsSupernets() {
    return evaluator() == EvaluatorChoice.Kind.SUPERNET;
  }

  private void check() {
    if (strategies.isEmpty()) {
      throw UserException.usage(
          "--strategies is missing: name the strategies to compare, such as fbnet,single-path,"
              + "random");
    }
    if (seeds.isEmpty()) {
      seeds.addAll(List.of(1L, 2L, 3L));
    }
    requireDistinct("--strategies", strategies);
    requireDistinct("--seeds", seeds);
    Ranges.atLeast("--train", train, 0);
    if (train == 0 && recipe != null) {
      throw UserException.usage("--recipe needs --train K");
    }
    if (train > flags.strategy.evaluations) {
      throw UserException.usage(
          "--train %d is more than the --evaluations %d from which it takes the best",
          train, flags.strategy.evaluations);
    }
    if (base == null) {
      base = strategies.contains("random") ? "random" : strategies.getFirst();
    } else if (!strategies.contains(base)) {
      throw UserException.usage(
          "--base %s is none of the --strategies %s", base, String.join(",", strategies));
    }
    if (train > 0 && !trainsSupernets()) {
      throw UserException.usage(
          "--train trains what supernets scored best, and --evaluator %s trains none: leave it out",
          flags.strategy.evaluator().text());
    }
    if (flags.cost == null && trainsSupernets()) {
      throw UserException.usage(
          "--cost is missing: say what each search may take, such as 20min, 90kimages or 3.5T");
    }
  }

  private static void requireDistinct(String flag, List<?> values) {
    Set<Object> seen = new HashSet<>();
    for (Object value : values) {
      if (!seen.add(value)) {
        throw UserException.usage("%s names %s twice", flag, value);
      }
    }
  }

  /** Makes the folder: the space, one latency table and one cost for all. */
  private void begin(Console console) {
    StoredRecipe how = StoredRecipe.of(recipe);
    String recipeText = how.text();
    how.flags().resolve(1, 0);
    StrategyFlags.Sampling sampling = flags.strategy.sampling;
    for (String strategy : strategies) {
      take(strategy, sampling);
      var _ = flags.strategy.resolve();
    }
    take(strategies.getFirst(), sampling);
    flags.seed = seeds.getFirst();
    if (!trainsSupernets()) {
      begin(console, recipeText);
      return;
    }
    try (RunFolder folder = RunConfig.newFolder(out, FOLDER);
        ProgressLine progress = flags.ranks.progress(spec);
        SearchSession session = new SearchSession(flags, Optional.empty(), console, progress)) {
      for (String strategy : strategies) {
        take(strategy, sampling);
        SearchCosts costs =
            new SearchCosts(
                session.search.data(),
                session.search.space(),
                flags.settings(),
                flags.strategy.resolve());
        var _ = costs.within(session.macs, flags.strategy.evaluations);
      }
      flags.cost = String.format(Locale.ROOT, "%.0f", session.macs);
      flags.strategy.sampling = sampling;
      session.search.space().write(folder.files().space());
      session.search.table().write(folder.latency());
      AtomicFile.writeText(folder.files().recipe(), recipeText);
      // The configuration last: it is what makes the folder one that can be resumed.
      AtomicFile.writeText(folder.config(), ConfigFile.resolved(spec, NOT_KEPT));
      resume = folder.root();
    }
  }

  /** The same without supernets. */
  private void begin(Console console, String recipeText) {
    flags.resolve();
    try (RunFolder folder = RunConfig.newFolder(out, FOLDER);
        ProgressLine progress = flags.ranks.progress(spec);
        EvaluatedRun run =
            new EvaluatedRun(flags, Optional.empty(), Optional.empty(), console, progress)) {
      AtomicFile.writeText(folder.files().recipe(), recipeText);
      run.begin(folder, ConfigFile.resolved(spec, NOT_KEPT));
      resume = folder.root();
    }
  }

  /** Makes the flags those of a search by this strategy. */
  private void take(String strategy, StrategyFlags.Sampling sampling) {
    flags.samples = flags.strategy.evaluations;
    flags.strategy.strategy = strategy;
    flags.strategy.sampling =
        StrategyFlags.takesSampling(strategy) ? sampling : StrategyFlags.Sampling.UNIFORM;
  }

  /** Does what is left to do, and says how it stands. */
  private int work(Console console) {
    RunFiles files = RunFiles.existing(resume);
    Path shared = resume.resolve(SEARCH_FILE);
    Set<String> except = new HashSet<>(NOT_KEPT);
    except.addAll(NOT_SHARED);
    RankFlags ranks = flags.ranks;
    ranks.first(() -> AtomicFile.writeText(shared, ConfigFile.resolved(spec, except)));
    List<StrategyJob> jobs = new ArrayList<>();
    seeds.forEach(
        seed ->
            strategies.forEach(
                name -> jobs.add(new StrategyJob(resume, trainsSupernets(), name, seed))));
    StrategyJob.How how =
        new StrategyJob.How(
            train,
            changedData.accepted,
            new Console(spec, Console.Says.WARNINGS),
            ranks.signals(console),
            ranks);
    new StrategyJobs(
            jobs,
            how,
            () -> ranks.progress(spec),
            console,
            new Continuation("fbnet compare-strategies --resume " + resume),
            (job, children, progress) -> {
              if (trainsSupernets()) {
                job.run(arguments(shared, job), children, how, progress);
              } else {
                job.judge(arguments(shared, job), known(files), how, progress);
              }
            },
            () -> write(files, jobs))
        .run();
    if (ranks.leads()) {
      console.print(write(files, jobs).text());
      console.print(
          String.format(
              Locale.ROOT, "  results in %s%n  report in %s%n", results(), files.report()));
    }
    return ExitCode.OK.code();
  }

  /** What a job's search is told. */
  private String[] arguments(Path shared, StrategyJob job) {
    List<String> arguments = new ArrayList<>(List.of(ConfigOption.NAME, shared.toString()));
    arguments.add("--strategy=" + job.strategy());
    arguments.add("--seed=" + job.seed());
    arguments.add("--samples=" + flags.strategy.evaluations);
    arguments.add("--evaluations=" + flags.strategy.evaluations);
    if (StrategyFlags.takesSampling(job.strategy())) {
      arguments.add("--sampling=" + flags.strategy.sampling);
    }
    return arguments.toArray(String[]::new);
  }

  /** The known accuracies, where they judge: read once. */
  private Optional<AccuracyTable> known(RunFiles files) {
    if (evaluator() != EvaluatorChoice.Kind.TABLE) {
      return Optional.empty();
    }
    if (table == null) {
      take(strategies.getFirst(), flags.strategy.sampling);
      try (ProgressLine progress = flags.ranks.progress(spec)) {
        table =
            new EvaluatedRun(
                flags,
                Optional.of(files),
                Optional.empty(),
                new Console(spec, Console.Says.WARNINGS),
                progress);
      }
      best = table.known().orElseThrow().bestMean(table.search().budget()::met);
    }
    return table.known();
  }

  private Path results() {
    return resume.resolve("results.json");
  }

  /** Writes what is known so far. */
  private Comparison write(RunFiles files, List<StrategyJob> jobs) {
    Measure measure =
        switch (evaluator()) {
          case SUPERNET -> train > 0 ? Measure.CHILDREN : Measure.SHARED_WEIGHTS;
          case TRAIN -> Measure.TRAINED;
          case TABLE -> Measure.REGRET;
        };
    List<ComparedRun> runs = new ArrayList<>();
    for (StrategyJob job : jobs) {
      if (job.isDone(train)) {
        if (measure == Measure.REGRET) {
          runs.add(job.regret(known(files).orElseThrow(), table.search().space(), best));
        } else {
          ComparedRun.read(job.root(), measure).ifPresent(runs::add);
        }
      }
    }
    Map<String, String> conditions = new LinkedHashMap<>();
    conditions.put("space", flags.space);
    conditions.put("data", flags.data.data);
    if (flags.cost != null) {
      conditions.put("cost", flags.cost + " multiply-adds a search");
    }
    conditions.put("scored", flags.strategy.evaluations + " networks a search, at most");
    conditions.put("judged by", flags.strategy.evaluator().text());
    if (train > 0) {
      conditions.put("children", train + " a search, the best scored");
      conditions.put("recipe", StoredRecipe.of(files.recipe()).text().strip().replace("\n", ", "));
    }
    conditions.put(
        "configuration", ConfigFile.resolved(spec, NOT_KEPT).strip().replace("\n", ", "));
    Comparison comparison =
        new Comparison(measure, base, runs, jobs.size() - runs.size(), conditions);
    comparison.writeJson(results());
    comparison.writePage(files.report());
    return comparison;
  }
}
