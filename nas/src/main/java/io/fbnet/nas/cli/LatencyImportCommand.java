package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.kit.KitResult;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.TableImport;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet latency import}: a latency table of what somebody else measured. */
@Command(
    name = "import",
    description =
        "Makes a latency table of a file whose form it finds out: the result.json of a latency kit,"
            + " rows of numbers (one a layer), a ProxylessNAS table (YAML), or plain JSON with"
            + " fixed and layers.")
final class LatencyImportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin SpaceFlags spaceFlags;

  @Parameters(paramLabel = "FILE", description = "The file, or a kit's folder with a result.json.")
  private Path file;

  @Option(names = "--out", paramLabel = "TABLE.json", required = true, description = "The table.")
  private Path out;

  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      description = "The search space, where the file does not say it.")
  private String space;

  @Option(
      names = "--classes",
      paramLabel = "N",
      description = "Classes of the networks that were measured, instead of the space's.")
  private Integer classes;

  @Option(
      names = "--unit",
      description = "ms or us, where the file does not say it. Default for ProxylessNAS: ms.")
  private TableImport.Unit unit;

  @Option(
      names = "--fixed",
      paramLabel = "TIME",
      description = "What every network pays (stem, head, classifier), in that unit.")
  private Double fixed;

  @Option(
      names = "--relative",
      description = "The numbers are differences to skip in the same layer.")
  private boolean relative;

  @Option(
      names = "--device",
      paramLabel = "NAME",
      description = "The device's name, where the file does not say it, or instead of the file's.")
  private String device;

  @Option(names = "--batch", description = "Images a run, where the file does not say it.")
  private Integer batch;

  @Option(
      names = "--kit",
      paramLabel = "DIR",
      description = "The kit of a result that does not lie in its folder.")
  private Path kit;

  @Override
  public Integer call() {
    if (batch != null && batch < 1) {
      throw UserException.usage("--batch must be at least 1, but is %d", batch);
    }
    if (device != null && device.isBlank()) {
      throw UserException.usage("--device must not be empty");
    }
    if (fixed != null && !Double.isFinite(fixed)) {
      throw UserException.usage("--fixed must be a number, but is %s", fixed);
    }
    Console console = new Console(spec);
    Path source = Files.isDirectory(file) ? file.resolve(KitResult.NAME) : file;
    LatencyTable table = read(source, console);
    table.write(out);
    console.print(table.text());
    console.note("written to " + out);
    return 0;
  }

  private LatencyTable read(Path source, Console console) {
    if (TableImport.form(source) == TableImport.Form.OTHER_JSON
        && KitResult.isOne(Document.json(source))) {
      if (space != null || unit != null || fixed != null || relative || batch != null) {
        throw UserException.usage(
            "the result of a kit says everything itself: leave out --space, --unit, --fixed,"
                + " --relative and --batch");
      }
      LatencyTable table = KitResult.table(source, kit, console::warn);
      return device == null ? table : table.withDevice(device);
    }
    if (kit != null) {
      throw UserException.usage("--kit is for the result of a kit, which %s is not", source);
    }
    return TableImport.read(
        source,
        new TableImport.Request(
            searched(),
            Optional.ofNullable(unit),
            fixed == null ? OptionalDouble.empty() : OptionalDouble.of(fixed),
            Optional.ofNullable(device),
            batch == null ? OptionalInt.empty() : OptionalInt.of(batch),
            relative,
            console::warn));
  }

  private Optional<SearchSpace> searched() {
    if (space == null) {
      return Optional.empty();
    }
    SearchSpace named = spaceFlags.apply(SearchSpace.load(space));
    try {
      return Optional.of(classes == null ? named : named.withClasses(classes));
    } catch (IllegalArgumentException e) {
      throw UserException.usage("--classes cannot be applied: %s", e.getMessage());
    }
  }
}
