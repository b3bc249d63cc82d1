package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchChecks;
import io.fbnet.nas.search.SearchCosts;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * A search with the device and the images it needs, opened in order and closed in reverse. What can
 * be refused is refused before anything slow: before a device is opened or a table measured.
 */
final class SearchSession implements AutoCloseable {
  final Search search;

  /** The multiply-adds that a cost came to; 0 without one. */
  double macs;

  private final Backend backend;
  private final Dataset data;

  /**
   * Opens a session.
   *
   * @param run the run whose own space and table are taken; empty to take what the flags say
   */
  SearchSession(SearchFlags flags, Optional<RunFiles> run, Console console, ProgressLine progress) {
    SearchSpace named = run.isPresent() ? spaceOf(run.get(), flags) : flags.resolve();
    data =
        flags.ranks.inTurn(
            () ->
                flags.data.open(
                    named, flags.data.data, flags.seed, flags.device.threads(), console));
    boolean opened = false;
    Backend device = null;
    try {
      SearchSpace space = Search.fitted(named, data);
      flags.augmentation.resolve(data, console::note);
      SearchChecks.require(flags.settings(), space, data);
      if (run.isEmpty()) {
        warnOfClasses(flags.settings(), console);
      }
      SearchChecks.require(flags.budget.withoutTable(space), space);
      if (space.classes() != named.classes()) {
        console.note(
            String.format(
                Locale.ROOT,
                "the data has %d classes, so the space's %d become %d",
                space.classes(),
                named.classes(),
                space.classes()));
      }
      CostAmount cost = flags.cost == null ? null : CostAmount.parse("--cost", flags.cost);
      if (cost != null && cost.unit() == CostAmount.Unit.SECONDS) {
        flags.ranks.requireOne("planning a --cost in time, which measures a step,");
      }
      if (cost != null && cost.unit() != CostAmount.Unit.SECONDS) {
        plan(flags, space, cost, console);
      }
      device = flags.device.open(console, flags.ranks.ranks());
      backend = device;
      LatencyTable table = tableOf(run);
      if (table == null) {
        table = opened(flags, space, console, progress);
      }
      if (flags.ranks.leads()) {
        warnOfUnit(table, console);
      }
      if (cost != null && cost.unit() == CostAmount.Unit.SECONDS) {
        double rate = macsPerSecond(space, table, flags.settings());
        plan(flags, space, new CostAmount(cost.amount() * rate, CostAmount.Unit.MACS), console);
      }
      search =
          new Search(
              backend,
              data,
              space,
              table,
              flags.budget.budget(table, space),
              flags.settings(),
              flags.strategy.resolve());
      opened = true;
    } finally {
      if (!opened) {
        if (device != null) {
          device.close();
        }
        data.close();
      }
    }
  }

  /** Of the images that train w; of a run that goes on no flag can be changed. */
  private void warnOfClasses(SearchSettings settings, Console console) {
    ImageSet images = data.train();
    int[] trained =
        Splits.split(images, settings.weightShare(), settings.seed(), settings.trainImages())
            .first();
    ClassFlags.warn(settings.balance(), images, trained, console);
  }

  /** The table that the flags name or rank 0 measures. */
  private LatencyTable opened(
      SearchFlags flags, SearchSpace space, Console console, ProgressLine progress) {
    if (backend.communicator().size() == 1) {
      return TableSource.open(flags.lut, space, backend, console, progress);
    }
    LatencyTable[] own = new LatencyTable[1];
    String json =
        flags.ranks.ofFirst(
            () -> {
              own[0] = TableSource.open(flags.lut, space, backend, console, progress);
              return own[0].json().toString();
            });
    return own[0] != null ? own[0] : LatencyTable.parse(json, "the table of rank 0");
  }

  /** Lets a cost decide how many epochs there are. */
  private void plan(SearchFlags flags, SearchSpace space, CostAmount cost, Console console) {
    SearchSettings settings = flags.settings();
    SearchCosts costs = new SearchCosts(data, space, settings, flags.strategy.resolve());
    macs =
        cost.unit() == CostAmount.Unit.MACS
            ? cost.amount()
            : cost.amount() * costs.weightStep() / settings.batch();
    flags.plan(costs.within(macs, flags.scored()));
    console.note(
        String.format(
            Locale.ROOT,
            "a cost of %s multiply-adds gives %d epochs%s",
            SearchCosts.text(macs),
            flags.epochs,
            flags.epochBatches == 0 ? "" : " of " + flags.epochBatches + " steps of w"));
  }

  /** What the mixture does on the device in a second of w steps. */
  private double macsPerSecond(SearchSpace space, LatencyTable table, SearchSettings settings) {
    try (Search mixture =
        new Search(backend, data, space, table, new Budget(List.of()), settings)) {
      return mixture.loop().costs().weightStep() / DryRun.secondsOfAStep(mixture);
    }
  }

  /** The run's own space; of a run that an older version wrote, the one that its flags name. */
  private static SearchSpace spaceOf(RunFiles run, SearchFlags flags) {
    if (Files.exists(run.space())) {
      return flags.resolve(SearchSpace.load(run.space().toString()));
    }
    try {
      return flags.resolve();
    } catch (UserException e) {
      throw new UserException(
          e.exitCode(),
          String.format(
              Locale.ROOT,
              "%s was begun by an older version, which kept no space in it, and %s: go on from the"
                  + " folder in which the search was begun",
              run.root(),
              e.getMessage()),
          e);
    }
  }

  /** The run's own table; null where there is none yet. */
  private static LatencyTable tableOf(Optional<RunFiles> run) {
    return run.isPresent() && Files.exists(run.get().latency())
        ? LatencyTable.load(run.get().latency().toString())
        : null;
  }

  /** Below e microseconds the power of a logarithm is no number; the loss clamps, once said. */
  private static void warnOfUnit(LatencyTable table, Console console) {
    double fastest = table.latencyOf(table.fastest()) * 1000;
    if (fastest < Math.E) {
      console.warn(
          String.format(
              Locale.ROOT,
              "the table's fastest network takes %.3f microseconds; the loss counts at least e",
              fastest));
    }
  }

  @Override
  public void close() {
    search.close();
    backend.close();
    data.close();
  }
}
