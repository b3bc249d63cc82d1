package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.search.ArchitectureScorer;
import io.fbnet.nas.search.Budget;
import io.fbnet.nas.search.BudgetCheck;
import io.fbnet.nas.search.SearchLoop;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.search.Supernet;
import io.fbnet.nas.space.SearchSpace;

/** Everything a search or a sampling needs, opened in order and closed in reverse. */
final class SearchSession implements AutoCloseable {
  final SearchSpace space;
  final SearchSettings settings;
  final Backend backend;
  final Dataset data;
  final LatencyTable table;
  final Supernet supernet;
  final SearchLoop loop;

  /**
   * Opens a session.
   *
   * @param runTable the run folder's own table, or null to take what the flags say
   */
  SearchSession(SearchFlags flags, LatencyTable runTable, Console console, ProgressLine progress) {
    SearchSpace named = flags.resolve();
    settings = flags.settings();
    data = flags.data.open(named, flags.data.data, flags.seed, flags.device.threads(), console);
    boolean opened = false;
    Backend device = null;
    Supernet net = null;
    try {
      int classes = data.classes().size();
      if (classes != named.classes()) {
        console.note(
            "the data has %d classes, so the space's %d become %d"
                .formatted(classes, named.classes(), classes));
      }
      space = classes < 2 ? named : named.withClasses(classes);
      if (classes < 2) {
        throw UserException.data(
            "%s has %d class: a classifier needs at least two folders of images",
            data.name(), classes);
      }
      device = flags.device.open(console);
      backend = device;
      table =
          runTable == null
              ? TableSource.open(flags.lut, space, backend, console, progress)
              : runTable;
      warnOfUnit(console);
      Budget budget = flags.budget.budget(table, space);
      BudgetCheck.require(budget, space);
      net = new Supernet(backend, space, settings, table, budget);
      supernet = net;
      loop = new SearchLoop(backend, supernet, settings, table, data);
      opened = true;
    } finally {
      if (!opened) {
        if (net != null) {
          net.close();
        }
        if (device != null) {
          device.close();
        }
        data.close();
      }
    }
  }

  /** Below e microseconds the power of a logarithm is no number; the loss clamps, once said. */
  private void warnOfUnit(Console console) {
    double fastest = table.latencyOf(table.fastest()) * 1000;
    if (fastest < Math.E) {
      console.warn(
          "the table's fastest network takes %.3f microseconds; the loss counts at least e"
              .formatted(fastest));
    }
  }

  ArchitectureScorer scorer() {
    supernet.releaseSteps();
    return new ArchitectureScorer(backend, supernet, data, loop.splits(), table, settings);
  }

  @Override
  public void close() {
    supernet.close();
    backend.close();
    data.close();
  }
}
