package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.CacheDirectory;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeMap;

/** The latency table of a search: named, kept from an earlier measurement, or measured now. */
final class TableSource {
  private TableSource() {}

  /** The table that {@code --lut} names, or this device's own for the space. */
  static LatencyTable open(
      String lut, SearchSpace space, Backend backend, Console console, ProgressLine progress) {
    if (lut != null) {
      LatencyTable table = LatencyTable.load(lut);
      table.requireFits(space, console::warn);
      if (!LatencyTable.builtIns().contains(lut)) {
        // A built-in table is of another device on purpose; a file is most likely this one's.
        table.warnOfDifferences(new LatencyMeter(backend, 1).fingerprint(), console::warn);
      }
      return table;
    }
    Path kept = keptAt(space, backend);
    if (Files.isRegularFile(kept)) {
      try {
        LatencyTable table = LatencyTable.load(kept.toString());
        table.requireFits(space, console::warn);
        console.note(
            "latency table of this device, measured "
                + table.fingerprint().date()
                + ": "
                + kept
                + " (remove it to measure again)");
        return table;
      } catch (UserException damaged) {
        console.warn(damaged.getMessage() + "; it is measured again");
      }
    }
    console.note("measuring this device's latency table for the space " + space.name());
    LatencyTable table = measure(space, backend, 1, progress);
    try {
      Files.createDirectories(kept.getParent());
      table.write(kept);
    } catch (IOException | UserException e) {
      console.warn("the table could not be kept for next time: " + e.getMessage());
    }
    return table;
  }

  /** The built-in space that a table was measured for. */
  static String spaceOf(String lut) {
    LatencyTable table = LatencyTable.load(lut);
    for (String name : SearchSpace.builtIns()) {
      if (table.fits(SearchSpace.load(name))) {
        return name;
      }
    }
    throw UserException.usage(
        "%s was measured for the space '%s', which is not built in: name its YAML file by --space",
        table.source(), table.space().name());
  }

  /** Measures with progress shown. */
  static LatencyTable measure(
      SearchSpace space, Backend backend, int batch, ProgressLine progress) {
    LatencyTable table =
        new LatencyMeter(backend, batch)
            .measure(
                space,
                (done, total, what) -> progress.update(done, total, "latency table, " + what));
    progress.close();
    return table;
  }

  private static Path keptAt(SearchSpace space, Backend backend) {
    String key =
        space.signature()
            + " head "
            + space.head()
            + " classes "
            + space.classes()
            + " protocol "
            + LatencyMeter.PROTOCOL
            + " "
            + new TreeMap<>(backend.fingerprint());
    String hash = Sha256.hex(key.getBytes(StandardCharsets.UTF_8)).substring(0, 12);
    return CacheDirectory.ofUser(System.getenv())
        .resolve("latency")
        .resolve(space.name() + "-" + hash + ".json");
  }
}
