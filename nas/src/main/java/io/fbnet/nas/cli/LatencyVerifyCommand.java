package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet latency verify}: what a table's sums are worth on whole networks. */
@Command(
    name = "verify",
    description =
        "Measures random whole networks on this device, twice, and compares them with the table's"
            + " sums.")
final class LatencyVerifyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin DeviceFlags device;
  @Mixin SpaceFlags spaceFlags;

  @Option(
      names = "--space",
      paramLabel = "NAME|FILE",
      defaultValue = "fashion",
      description = "The search space.")
  private String space;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "The table. Default: this device's own.")
  private String lut;

  @Option(
      names = "--networks",
      paramLabel = "N",
      defaultValue = "20",
      description = "How many random networks.")
  private int networks;

  @Option(names = "--seed", defaultValue = "1", description = "Of the random networks.")
  private long seed;

  @Override
  public Integer call() {
    if (networks < 2) {
      throw UserException.usage("--networks must be at least 2, but is %d", networks);
    }
    Console console = new Console(spec);
    SearchSpace searched = spaceFlags.apply(SearchSpace.load(space));
    try (Backend backend = device.open(console);
        ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      LatencyTable table = TableSource.open(lut, searched, backend, console, progress);
      LatencyMeter meter = new LatencyMeter(backend, table.fingerprint().batch());
      table.warnOfDifferences(meter.fingerprint(), console::warn);
      Theta uniform = Theta.uniform(searched);
      List<Architecture> random =
          IntStream.range(0, networks)
              .mapToObj(i -> Architecture.of("", searched, uniform.sample(seed, i)))
              .toList();
      LatencyMeter.Verification v =
          meter.verify(table, random, (done, total, what) -> progress.update(done, total, what));
      progress.clear();
      StringBuilder text = new StringBuilder();
      text.append(
          String.format(Locale.ROOT, "%4s %12s %12s %12s%n", "", "sum ms", "whole ms", "again ms"));
      for (int i = 0; i < networks; i++) {
        text.append(
            String.format(
                Locale.ROOT,
                "%4d %12.4f %12.4f %12.4f%n",
                i + 1,
                v.predicted()[i],
                v.measured()[i],
                v.repeated()[i]));
      }
      text.append(
          String.format(
              Locale.ROOT,
              "mean relative error %.2f%%, Kendall's tau %.3f, of two measurements %.3f%n",
              100 * v.meanRelativeError(),
              v.tau(),
              v.repeatedTau()));
      console.print(text.toString());
    }
    return 0;
  }
}
