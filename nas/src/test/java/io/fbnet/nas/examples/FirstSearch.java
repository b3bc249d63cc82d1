package io.fbnet.nas.examples;

// Example begins
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.search.SearchObserver;
import io.fbnet.nas.search.SearchSettings;
import io.fbnet.nas.search.Selection;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.List;

/** A network for this machine that takes four times as long as the fastest of its space. */
public final class FirstSearch {
  static Selection search(String images, SearchSettings settings, Path run) {
    var space = SearchSpace.load("fashion");
    try (var device = CpuBackend.open(2);
        var data = DataSource.open(DataOptions.of(images, new ImageShape(1, 28, 28)));
        var folder = RunFolder.create(run)) {
      var table = new LatencyMeter(device, 1).measure(space, LatencyMeter.Progress.NONE);
      var target = Limit.latency(table, 4 * table.latencyOf(table.fastest()));
      try (var search =
          new Search(device, data, space, table, new Budget(List.of(target)), settings)) {
        search.run(folder, SearchObserver.NONE);
        Selection found = search.select(6);
        found.architecture().write(folder.architecture());
        return found;
      }
    }
  }

  private FirstSearch() {}
}
// Example ends
