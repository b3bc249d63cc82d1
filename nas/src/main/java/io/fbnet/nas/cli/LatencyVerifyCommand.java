package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.kit.OrtMeter;
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
  @Mixin NamedSpaceFlags space;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "The table. Default: this device's own.")
  private String lut;

  @Option(names = "--runtime", defaultValue = "engine", description = MeasuringRuntime.DESCRIPTION)
  private MeasuringRuntime runtime;

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
    Ranges.atLeast("--networks", networks, 2);
    Console console = new Console(spec);
    SearchSpace searched = space.load();
    console.print(
        text(
            runtime == MeasuringRuntime.ENGINE
                ? engine(searched, console)
                : onnx(searched, console)));
    return 0;
  }

  private LatencyMeter.Verification engine(SearchSpace searched, Console console) {
    try (Backend backend = device.open(console);
        ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      LatencyTable table = TableSource.open(lut, searched, backend, console, progress);
      LatencyMeter meter = new LatencyMeter(backend, table.fingerprint().batch());
      table.warnOfDifferences(meter.fingerprint(), console::warn);
      return meter.verify(table, random(searched), progress::update);
    }
  }

  private LatencyMeter.Verification onnx(SearchSpace searched, Console console) {
    if (lut == null) {
      throw UserException.usage(
          "--runtime onnxruntime needs --lut: 'fbnet latency measure --runtime onnxruntime' makes"
              + " the table");
    }
    OrtMeter meter = MeasuringRuntime.onnxRuntime(device);
    LatencyTable table = LatencyTable.load(lut);
    table.requireFits(searched, console::warn);
    // Networks are timed in the table's own precision.
    table.warnOfDifferences(
        meter.fingerprint(table.fingerprint().precision(), table.fingerprint().batch()),
        console::warn);
    try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      return meter.verify(table, random(searched), progress::update);
    }
  }

  private List<Architecture> random(SearchSpace searched) {
    Theta uniform = Theta.uniform(searched);
    return IntStream.range(0, networks)
        .mapToObj(i -> Architecture.of("", searched, uniform.sample(seed, i)))
        .toList();
  }

  private String text(LatencyMeter.Verification v) {
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
            100 * v.steadyError(),
            v.tau(),
            v.repeatedTau()));
    if (v.drift() != 1) {
      text.append(
          String.format(
              Locale.ROOT,
              "a fixed network takes %.3f times as long as while the table was measured; that is"
                  + " taken out of the error, which is %.2f%% with it%n",
              v.drift(),
              100 * v.meanRelativeError()));
    }
    return text.toString();
  }
}
