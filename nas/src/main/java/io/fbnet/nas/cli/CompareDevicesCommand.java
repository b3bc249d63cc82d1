package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet compare-devices}: what networks found for one device cost on others. */
@Command(
    name = "compare-devices",
    description =
        "Takes finished runs of one space, each for the device of its own latency table and for its"
            + " own resolution, and prints the latency of every network under every one of these"
            + " conditions as a Markdown table.")
final class CompareDevicesCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "RUN", arity = "1..*", description = "Folders of finished runs.")
  private List<Path> runs;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A further device's table, built in or a file; may be given several times.")
  private List<String> luts = new ArrayList<>();

  @Option(names = "--out", paramLabel = "FILE", description = "Also writes the table here.")
  private Path out;

  /** A network and the table it was found with. */
  private record Found(Architecture network, LatencyTable table) {}

  @Override
  public Integer call() {
    Console console = new Console(spec);
    List<Found> found = runs.stream().map(CompareDevicesCommand::read).toList();
    List<LatencyTable> tables = new ArrayList<>();
    found.forEach(f -> add(tables, f.table()));
    luts.forEach(lut -> add(tables, LatencyTable.load(lut)));
    boolean several = tables.stream().map(CompareDevicesCommand::size).distinct().count() > 1;
    StringBuilder text = new StringBuilder("| found for |");
    tables.forEach(table -> text.append(" on ").append(condition(table, several)).append(" |"));
    text.append(" blocks |\n| --- |").append(" ---: |".repeat(tables.size())).append(" --- |\n");
    for (Found f : found) {
      text.append("| ").append(condition(f.table(), several)).append(" |");
      for (LatencyTable table : tables) {
        double ms = latency(f.network(), table);
        text.append(
            String.format(
                Locale.ROOT, same(table, f.table()) ? " **%.4f ms** |" : " %.4f ms |", ms));
      }
      text.append(" ").append(cell(f.network().blockLine())).append(" |\n");
    }
    console.print(text.toString());
    if (out != null) {
      AtomicFile.writeText(out, text.toString());
    }
    return 0;
  }

  /** Of a network's blocks at the resolution that the table is for. */
  private static double latency(Architecture network, LatencyTable table) {
    SearchSpace.Input own = network.space().input();
    SearchSpace.Input other = table.space().input();
    SearchSpace space =
        own.channels() == other.channels() ? network.space().withInput(other) : network.space();
    table.requireFits(space, warning -> {});
    return table.latencyOf(network.choice());
  }

  private static String size(LatencyTable table) {
    SearchSpace.Input input = table.space().input();
    return input.height() + "x" + input.width();
  }

  /** The device, and the resolution where there are several. */
  private static String condition(LatencyTable table, boolean several) {
    return cell(table.device()) + (several ? " at " + size(table) : "");
  }

  private static Found read(Path run) {
    RunFiles files = RunFiles.existing(run);
    if (!Files.exists(files.architecture())) {
      throw UserException.data(
          "%s has no architecture yet: finish it with fbnet search --resume %s", run, run);
    }
    return new Found(
        Architecture.load(files.architecture().toString()),
        LatencyTable.load(files.latency().toString()));
  }

  /** Runs for one device share a column. */
  private static void add(List<LatencyTable> tables, LatencyTable table) {
    if (tables.stream().noneMatch(known -> same(known, table))) {
      tables.add(table);
    }
  }

  private static boolean same(LatencyTable a, LatencyTable b) {
    return a.json().equals(b.json());
  }

  private static String cell(String text) {
    return text.replace("|", "\\|");
  }
}
