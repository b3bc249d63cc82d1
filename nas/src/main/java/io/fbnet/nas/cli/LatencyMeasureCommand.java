package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.kit.OrtMeter;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet latency measure}: the table of this device. */
@Command(
    name = "measure",
    description = "Measures a space's latency table on this device, block by block.")
final class LatencyMeasureCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin DeviceFlags device;
  @Mixin NamedSpaceFlags space;

  @Option(names = "--batch", defaultValue = "1", description = "Images a run.")
  private int batch;

  @Option(names = "--runtime", defaultValue = "engine", description = MeasuringRuntime.DESCRIPTION)
  private MeasuringRuntime runtime;

  @Option(
      names = "--int8",
      description =
          "With --runtime onnxruntime: networks in eight bits, as 'fbnet export --int8' writes"
              + " them.")
  private boolean int8;

  @Option(
      names = "--out",
      paramLabel = "FILE",
      description = "Where the table goes. Default: SPACE-latency.json.")
  private Path out;

  @Override
  public Integer call() {
    Ranges.batch(batch, 1);
    if (int8 && runtime == MeasuringRuntime.ENGINE) {
      throw UserException.usage(
          "--int8 needs --runtime onnxruntime: the engine has no operations in eight bits");
    }
    Console console = new Console(spec);
    SearchSpace searched = space.load();
    Path target = out == null ? Path.of(searched.name() + "-latency.json") : out;
    LatencyTable table = runtime == MeasuringRuntime.ENGINE ? engine(searched) : onnx(searched);
    table.write(target);
    console.print(table.text());
    console.note("written to " + target);
    return 0;
  }

  private LatencyTable engine(SearchSpace searched) {
    try (Backend backend = device.open(new Console(spec));
        ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      return TableSource.measure(searched, backend, batch, progress);
    }
  }

  private LatencyTable onnx(SearchSpace searched) {
    OrtMeter meter = MeasuringRuntime.onnxRuntime(device);
    try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      return meter.measure(searched, batch, int8, new Console(spec)::warn, progress::update);
    }
  }
}
