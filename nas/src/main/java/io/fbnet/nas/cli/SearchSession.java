package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchChecks;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.util.Locale;
import java.util.Optional;

/**
 * A search with the device and the images it needs, opened in order and closed in reverse. What can
 * be refused is refused before anything slow: before a device is opened or a table measured.
 */
final class SearchSession implements AutoCloseable {
  final Search search;
  private final Backend backend;
  private final Dataset data;

  /**
   * Opens a session.
   *
   * @param run the run whose own space and table are taken; empty to take what the flags say
   */
  SearchSession(SearchFlags flags, Optional<RunFiles> run, Console console, ProgressLine progress) {
    SearchSpace named = run.isPresent() ? spaceOf(run.get(), flags) : flags.resolve();
    SearchSettings settings = flags.settings();
    data = flags.data.open(named, flags.data.data, flags.seed, flags.device.threads(), console);
    boolean opened = false;
    Backend device = null;
    try {
      SearchSpace space = Search.fitted(named, data);
      SearchChecks.require(settings, space, data);
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
      device = flags.device.open(console);
      backend = device;
      LatencyTable table = tableOf(run);
      if (table == null) {
        table = TableSource.open(flags.lut, space, backend, console, progress);
      }
      warnOfUnit(table, console);
      search =
          new Search(
              backend,
              data,
              space,
              table,
              flags.budget.budget(table, space),
              settings,
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
