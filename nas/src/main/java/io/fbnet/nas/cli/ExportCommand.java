package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.file.TemporaryFolder;
import io.fbnet.nas.kit.OrtLogits;
import io.fbnet.nas.kit.OrtMeter;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.onnx.Calibration;
import io.fbnet.nas.onnx.OnnxExport;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet export}: a model file as ONNX. */
@Command(
    name = "export",
    description =
        "Writes a model file as ONNX (opset 17): input 'images' [batch, channels, height, width]"
            + " for any batch or, with --batch, for one; output 'logits' [batch, classes].")
final class ExportCommand implements Callable<Integer> {
  /** More than this share of the test images lost by rounding is worth a warning. */
  private static final double MOST_LOST = 0.01;

  /**
   * Shares of a value's numbers that may lie outside its range at either end. Which is best differs
   * by network from one to the other end of these.
   */
  private static final double[] LEFT_OUT = {0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3};

  private static final long SEED = 1;

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(
      paramLabel = "MODEL.safetensors",
      description = "A model file, as 'fbnet train' and 'fbnet import' write it.")
  private Path model;

  @Option(names = "--out", paramLabel = "FILE.onnx", required = true, description = "The result.")
  private Path out;

  @Option(
      names = "--fold-bn",
      description =
          "Merges every batch norm into the convolution before it; --int8 does so always.")
  private boolean foldBatchNorm;

  @Option(
      names = "--normalise",
      description =
          "The file takes pixels from 0 to 1 and normalises them itself. Without this, they must"
              + " come as (pixel - mean) / std, by the mean and std of its metadata.")
  private boolean normalise;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description =
          "The file takes N images at a time and no other number, and every shape in it is a"
              + " constant. Without this it takes any number; some run times cannot.")
  private Integer batch;

  @Option(
      names = "--int8",
      description =
          "Keeps weights and images in eight bits (QuantizeLinear and DequantizeLinear, weights by"
              + " channel), by the ranges that values take on training images; --data, --device and"
              + " the flags after them are for this. Says what ONNX Runtime makes of it beside the"
              + " same network in f32: accuracy on the test images, latency of one image.")
  private boolean int8;

  @Option(
      names = "--calibration-images",
      paramLabel = "N",
      defaultValue = "512",
      description = "With --int8: how many training images the ranges are found on.")
  private int calibrationImages;

  @Mixin DataFlags dataFlags;
  @Mixin DeviceFlags device;

  @Override
  public Integer call() {
    if (batch != null) {
      Ranges.batch(batch, 1);
    }
    Ranges.atLeast("--calibration-images", calibrationImages, 1);
    if (!int8 && dataFlags.data != null) {
      throw UserException.usage("--data is for --int8, and that was not given");
    }
    Console console = new Console(spec);
    TrainedNetwork network = TrainedNetwork.read(model);
    if (int8) {
      int8(network, console);
    } else {
      OnnxExport.write(network, foldBatchNorm, normalise, batch(), out);
    }
    console.note("written to " + out);
    return 0;
  }

  private OptionalInt batch() {
    return batch == null ? OptionalInt.empty() : OptionalInt.of(batch);
  }

  private void int8(TrainedNetwork network, Console console) {
    DataOptions options = dataFlags.options(network, model, SEED, device.threads(), console);
    try (Dataset data = DataSource.open(options)) {
      ImageSet test = EvaluateCommand.relabelled(network, data.test(), data.name());
      int[] seen =
          Splits.subset(data.train(), Math.min(calibrationImages, data.train().size()), SEED);
      Calibration calibration = calibrate(network, data.train(), seen, console);
      Compared compared =
          TemporaryFolder.use(
              "fbnet-export-",
              folder -> compare(network, calibration, data.train(), seen, test, folder));
      OnnxExport.writeInt8(
          network,
          calibration.graph(),
          calibration.quantisation(compared.leftOut()),
          normalise,
          batch(),
          properties(data, seen.length, compared),
          out);
      console.print(text(data, compared));
      double lost = compared.f32() - compared.int8();
      if (lost > MOST_LOST) {
        console.warn(
            String.format(
                Locale.ROOT,
                "eight bits cost %.2f points of accuracy: more --calibration-images may help",
                100 * lost));
      }
    }
  }

  private Calibration calibrate(
      TrainedNetwork network, ImageSet train, int[] seen, Console console) {
    try (Backend backend = device.open(console);
        ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      return Calibration.of(
          backend, network, train, seen, done -> progress.update(done, seen.length, "calibration"));
    }
  }

  /** Accuracy in f32 and in eight bits, and milliseconds of both in this order. */
  private record Compared(double leftOut, double f32, double int8, List<Double> ms) {}

  private Compared compare(
      TrainedNetwork network,
      Calibration calibration,
      ImageSet train,
      int[] seen,
      ImageSet test,
      Path folder) {
    Normalisation fed = normalise ? Normalisation.none(test.channels()) : network.normalisation();
    try (ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      Path f32 = folder.resolve("f32.onnx");
      Path int8 = folder.resolve("int8.onnx");
      OnnxExport.write(network, true, normalise, OptionalInt.empty(), f32);
      float[][] exact = logits(f32, train, seen, fed, progress, "calibration images");
      double best = Double.NaN;
      double least = Double.POSITIVE_INFINITY;
      for (double leftOut : LEFT_OUT) {
        write(network, calibration, leftOut, int8);
        double divergence =
            OrtLogits.divergence(
                exact, logits(int8, train, seen, fed, progress, "calibration images"));
        if (Double.isNaN(best) || divergence < least) {
          best = leftOut;
          least = divergence;
        }
      }
      write(network, calibration, best, int8);
      double[] ms =
          new OrtMeter(device.threads())
              .time(List.of(f32, int8), network.architecture().space(), 1, progress::update);
      int[] all = IntStream.range(0, test.size()).toArray();
      return new Compared(
          best,
          OrtLogits.accuracy(logits(f32, test, all, fed, progress, "test images"), test),
          OrtLogits.accuracy(logits(int8, test, all, fed, progress, "test images"), test),
          List.of(ms[0], ms[1]));
    }
  }

  private void write(TrainedNetwork network, Calibration calibration, double leftOut, Path target) {
    OnnxExport.writeInt8(
        network,
        calibration.graph(),
        calibration.quantisation(leftOut),
        normalise,
        OptionalInt.empty(),
        Map.of(),
        target);
  }

  private float[][] logits(
      Path file,
      ImageSet set,
      int[] numbers,
      Normalisation normalisation,
      ProgressLine progress,
      String what) {
    return OrtLogits.of(
        file,
        set,
        numbers,
        normalisation,
        device.threads(),
        done -> progress.update(done, numbers.length, what));
  }

  private static Map<String, String> properties(Dataset data, int images, Compared compared) {
    return Map.of(
        "precision",
        "int8",
        "calibration",
        String.format(
            Locale.ROOT,
            "%d training images of %s, %g left out at either end",
            images,
            data.name(),
            compared.leftOut()),
        "test_accuracy",
        Double.toString(compared.int8()),
        "test_accuracy_f32",
        Double.toString(compared.f32()));
  }

  private String text(Dataset data, Compared compared) {
    return String.format(
        Locale.ROOT,
        "%-6s %10s %14s%n%-6s %10.4f %14.4f%n%-6s %10.4f %14.4f%n"
            + "by ONNX Runtime, %d thread%s; accuracy on the %d test images of %s%s%n",
        "",
        "accuracy",
        "ms an image",
        "f32",
        compared.f32(),
        compared.ms().getFirst(),
        "int8",
        compared.int8(),
        compared.ms().getLast(),
        device.threads(),
        device.threads() == 1 ? "" : "s",
        data.test().size(),
        data.name(),
        data.generated() ? " (generated)" : "");
  }
}
