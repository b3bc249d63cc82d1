package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.CacheDirectory;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.latency.LatencyTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet latency list}: the tables at hand, one line each. */
@Command(
    name = "list",
    description =
        "Lists the built-in latency tables and those kept in the user's cache: device, space,"
            + " batch, how the sums were validated on whole networks, and where they come from.")
final class LatencyListCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  /** A table and what --lut calls it. */
  private record Named(String name, LatencyTable table) {}

  @Override
  public Integer call() {
    Console console = new Console(spec);
    List<Named> builtIn =
        LatencyTable.builtIns().stream().map(n -> new Named(n, LatencyTable.load(n))).toList();
    List<Named> kept = kept(console);
    if (json) {
      ArrayNode list = JsonNodeFactory.instance.arrayNode();
      Stream.concat(builtIn.stream(), kept.stream()).forEach(named -> add(list, named));
      console.print(list);
      return 0;
    }
    StringBuilder text = new StringBuilder("built in, by name\n");
    builtIn.forEach(named -> line(text, named));
    text.append("\nmeasured here, by file\n");
    kept.forEach(named -> line(text, named));
    if (kept.isEmpty()) {
      text.append("  none yet: a search keeps its table in ").append(folder()).append('\n');
    }
    console.print(text.toString());
    return 0;
  }

  private static Path folder() {
    return CacheDirectory.ofUser(System.getenv()).resolve("latency");
  }

  private static List<Named> kept(Console console) {
    Path folder = folder();
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    List<Named> found = new ArrayList<>();
    List<Path> files = List.of();
    try {
      files = Folder.entries(folder);
    } catch (IOException e) {
      console.warn(String.format(Locale.ROOT, "%s cannot be read (%s)", folder, IoReason.of(e)));
    }
    for (Path file : files) {
      if (file.toString().endsWith(".json")) {
        try {
          found.add(new Named(file.toString(), LatencyTable.load(file.toString())));
        } catch (UserException damaged) {
          console.warn(damaged.getMessage());
        }
      }
    }
    return found;
  }

  private static void line(StringBuilder text, Named named) {
    LatencyTable table = named.table();
    text.append(
        String.format(
            Locale.ROOT,
            "  %-16s %s%s, batch %d; %s; %s%n",
            named.name(),
            table.device().equals(named.name()) ? "" : table.device() + ", ",
            table.space().name(),
            table.fingerprint().batch(),
            table.validated(),
            table.origin().isEmpty() ? "origin unknown" : table.origin()));
  }

  private static void add(ArrayNode list, Named named) {
    LatencyTable table = named.table();
    list.addObject()
        .put("name", named.name())
        .put("device", table.device())
        .put("space", table.space().name())
        .put("batch", table.fingerprint().batch())
        .put("relative", table.relative())
        .put("validated", table.validated())
        .put("origin", table.origin());
  }
}
