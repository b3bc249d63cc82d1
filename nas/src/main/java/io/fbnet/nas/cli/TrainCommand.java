package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.search.ArchitectureTrainer;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Path;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code fbnet train}: one architecture from scratch. */
@Command(
    name = "train",
    description =
        "Trains an architecture from scratch by SGD with cosine decay, and reads the test images"
            + " once at the end.")
final class TrainCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;
  @Mixin DataFlags dataFlags;
  @Mixin DeviceFlags device;

  @Mixin ArchitectureFlags architecture;

  @Option(names = "--seed", defaultValue = "1", description = "Of weights, order, augmentation.")
  private long seed;

  @Option(names = "--epochs", defaultValue = "12", description = "Over the training images.")
  private int epochs;

  @Option(names = "--batch", defaultValue = "64", description = "Images a step.")
  private int batch;

  @Option(
      names = "--train-images",
      defaultValue = "0",
      description = "How many training images to use; 0: all.")
  private int trainImages;

  @Option(names = "--rate", defaultValue = "0.1", description = "At the start; cosine to 0.")
  private double rate;

  @Option(names = "--momentum", defaultValue = "0.9", description = "Of SGD.")
  private double momentum;

  @Option(
      names = "--weight-decay",
      defaultValue = "4e-5",
      description = "Batch norms and biases are spared.")
  private double weightDecay;

  @Option(
      names = "--crop-padding",
      defaultValue = "2",
      description = "Pixels of zeros around an image before the random crop.")
  private int cropPadding;

  @Option(
      names = "--out",
      paramLabel = "FILE",
      description = "Where the model file goes (safetensors).")
  private Path out;

  @Override
  public Integer call() {
    if (epochs < 1 || batch < 2 || trainImages < 0 || cropPadding < 0 || !(rate > 0)) {
      throw UserException.usage(
          "--epochs must be at least 1, --batch 2, --train-images and --crop-padding 0, --rate"
              + " above 0");
    }
    Console console = new Console(spec);
    Architecture read = architecture.load();
    String preset = Preset.of(read.space()).data();
    try (Dataset data = dataFlags.open(read.space(), preset, seed, device.threads(), console);
        Backend backend = device.open(console);
        ProgressLine progress = new ProgressLine(spec.commandLine().getErr())) {
      Architecture network =
          new Architecture(
              read.name(), read.space().withClasses(data.classes().size()), read.blocks());
      ArchitectureTrainer.Recipe recipe =
          new ArchitectureTrainer.Recipe(
              seed,
              epochs,
              batch,
              trainImages,
              rate,
              momentum,
              weightDecay,
              new Augmentation(cropPadding, true));
      try (ArchitectureTrainer trainer = new ArchitectureTrainer(backend, network, recipe, data)) {
        trainer.train(
            (done, total, epoch, loss) ->
                progress.update(
                    done,
                    total,
                    String.format(Locale.ROOT, "epoch %d, loss %.4f", epoch + 1, loss)));
        progress.clear();
        double accuracy = trainer.accuracy(data.test());
        if (out != null) {
          trainer.network(OptionalDouble.of(accuracy)).write(out);
          console.note("model written to " + out);
        }
        console.print(
            String.format(
                Locale.ROOT,
                "accuracy on the %d test images of %s: %.4f%n",
                data.test().size(),
                data.name(),
                accuracy));
      }
    }
    return 0;
  }
}
