package io.fbnet.nas.cli;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.TableExport;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet latency export}: a latency table in a form that others read. */
@Command(
    name = "export",
    description = "Writes a latency table in a form that others read; import reads it back.")
final class LatencyExportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin SpaceFlags spaceFlags;

  @Parameters(paramLabel = "TABLE", description = "A JSON file, or the name of a built-in table.")
  private String table;

  @Option(
      names = "--format",
      required = true,
      description =
          "json (device, fixed, layers and how it was validated), text (one row a layer), or"
              + " proxyless (YAML with the keys of ProxylessNAS; only absolute tables).")
  private TableExport.Format format;

  @Option(names = "--out", paramLabel = "FILE", required = true, description = "The result.")
  private Path out;

  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      description = "The table's space, for proxyless. Default: the built-in one that fits.")
  private String space;

  @Override
  public Integer call() {
    LatencyTable read = LatencyTable.load(table);
    Optional<SearchSpace> searched =
        space == null
            ? SearchSpace.builtIns().stream().map(SearchSpace::load).filter(read::fits).findFirst()
            : Stream.of(space).map(name -> spaceFlags.apply(SearchSpace.load(name))).findFirst();
    Console console = new Console(spec);
    TableExport.write(read, format, searched, console::warn, out);
    console.note("written to " + out);
    return 0;
  }
}
