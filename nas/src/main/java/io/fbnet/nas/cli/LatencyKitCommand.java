package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.kit.Kit;
import io.fbnet.nas.kit.KitResult;
import io.fbnet.nas.kit.OrtMeter;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet latency kit}: what a device without Java is timed by. */
@Command(
    name = "kit",
    description =
        "Writes a folder by which a device without Java is timed: every distinct block of a space"
            + " as an ONNX file with its batch norms folded into the convolutions, as a network in"
            + " use has them, and a runner (run.py) that needs Python 3 and onnxruntime. 'fbnet"
            + " latency import DIR/result.json' makes the table.",
    subcommands = LatencyKitCommand.Run.class)
final class LatencyKitCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin NamedSpaceFlags space;

  @Option(names = "--batch", defaultValue = "1", description = "Images a run.")
  private int batch;

  @Option(
      names = "--int8",
      description = "Blocks in eight bits, as 'fbnet export --int8' writes networks.")
  private boolean int8;

  // Not required by picocli, which would ask it of 'kit run' too.
  @Option(names = "--out", paramLabel = "DIR", description = "The folder, new or empty. Required.")
  private Path out;

  @Override
  public Integer call() {
    if (out == null) {
      throw UserException.usage("--out DIR is missing: where is the kit to go?");
    }
    Ranges.batch(batch, 1);
    SearchSpace searched = space.load();
    int files;
    try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      files = Kit.write(searched, batch, int8, out, progress::update);
    }
    Console console = new Console(spec);
    console.note(
        String.format(
            Locale.ROOT,
            "written to %s: %d ONNX files of the space %s%s",
            out,
            files,
            searched.name(),
            int8 ? ", in eight bits" : ""));
    console.note(
        String.format(
                Locale.ROOT,
                "copy it to the device, run 'python3 run.py' there, and come back with %s; or here:"
                    + " 'fbnet",
                KitResult.NAME)
            + " latency kit run "
            + out
            + "'");
    return 0;
  }

  /** {@code fbnet latency kit run}: the kit on this machine. */
  @Command(
      name = "run",
      description =
          "Times a kit on this machine's CPU with ONNX Runtime for Java, as its run.py would.")
  static final class Run implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @Mixin ConfigOption config;

    @Parameters(paramLabel = "DIR", description = "The kit's folder.")
    private Path kit;

    @Option(
        names = "--threads",
        paramLabel = "N",
        description = "Threads inside one operation. Default: as many as processors.")
    private Integer threads;

    @Option(
        names = "--device-name",
        paramLabel = "NAME",
        defaultValue = "",
        showDefaultValue = Help.Visibility.NEVER,
        description = "What the table will call this machine. Default: its processor.")
    private String device;

    @Option(
        names = "--out",
        paramLabel = "FILE",
        description = "The result. Default: result.json in the kit's folder.")
    private Path out;

    @Override
    public Integer call() {
      Path target = out == null ? kit.resolve(KitResult.NAME) : out;
      try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
        new OrtMeter(Ranges.threads(threads)).run(kit, device, target, progress::update);
      }
      new Console(spec).note("written to " + target);
      return 0;
    }
  }
}
