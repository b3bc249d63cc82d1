package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.space.SearchSpace;
import java.util.Locale;

/** A search with the device and the images it needs, opened in order and closed in reverse. */
final class SearchSession implements AutoCloseable {
  final Search search;
  private final Backend backend;
  private final Dataset data;

  /**
   * Opens a session.
   *
   * @param runTable the run folder's own table, or null to take what the flags say
   */
  SearchSession(SearchFlags flags, LatencyTable runTable, Console console, ProgressLine progress) {
    SearchSpace named = flags.resolve();
    data = flags.data.open(named, flags.data.data, flags.seed, flags.device.threads(), console);
    boolean opened = false;
    Backend device = null;
    try {
      SearchSpace space = Search.fitted(named, data);
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
      LatencyTable table =
          runTable == null
              ? TableSource.open(flags.lut, space, backend, console, progress)
              : runTable;
      warnOfUnit(table, console);
      search =
          new Search(
              backend, data, space, table, flags.budget.budget(table, space), flags.settings());
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
