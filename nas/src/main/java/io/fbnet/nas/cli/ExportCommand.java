package io.fbnet.nas.cli;

import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.onnx.OnnxExport;
import java.nio.file.Path;
import java.util.concurrent.Callable;
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
            + " for any batch, output 'logits' [batch, classes].")
final class ExportCommand implements Callable<Integer> {
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
      description = "Merges every batch norm into the convolution before it.")
  private boolean foldBatchNorm;

  @Option(
      names = "--normalise",
      description =
          "The file takes pixels from 0 to 1 and normalises them itself. Without this, they must"
              + " come as (pixel - mean) / std, by the mean and std of its metadata.")
  private boolean normalise;

  @Override
  public Integer call() {
    OnnxExport.write(TrainedNetwork.read(model), foldBatchNorm, normalise, out);
    new Console(spec).note("written to " + out);
    return 0;
  }
}
