package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.measure.LatencyMeter;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.train.Quality;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet evaluate}: how well a trained network does on images. */
@Command(
    name = "evaluate",
    description =
        "Says how well a trained network tells images apart: top-1, top-5, balanced accuracy (the"
            + " mean of the classes' recalls), cross-entropy, each class, and what is taken for"
            + " what; with its latency on this device. Images are normalised by the model's own"
            + " mean and deviation.")
final class EvaluateCommand implements Callable<Integer> {
  /** A part of the data. */
  enum Split {
    TRAIN,
    TEST
  }

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(
      paramLabel = "MODEL.safetensors|RUN",
      description = "A model file, or the folder of a run that wrote one.")
  private Path model;

  @Mixin DataFlags dataFlags;
  @Mixin DeviceFlags device;

  @Option(names = "--split", defaultValue = "test", description = "Which images: train or test.")
  private Split split;

  @Option(
      names = "--seed",
      defaultValue = "1",
      description = "What the images of --data shapes are drawn from.")
  private long seed;

  @Option(names = "--batch", defaultValue = "64", description = "Images a run.")
  private int batch;

  @Option(
      names = "--latency",
      negatable = true,
      defaultValue = "true",
      fallbackValue = "true",
      description = "Measures one image's latency on this device too.")
  private boolean latency;

  @Option(names = "--json", description = "Prints JSON, with the whole confusion matrix.")
  private boolean json;

  @Override
  public Integer call() {
    Ranges.atLeast("--batch", batch, 1);
    device.threads = device.threads();
    Console console = new Console(spec);
    Path file = file(model);
    TrainedNetwork network = TrainedNetwork.read(file);
    DataOptions options = dataFlags.options(network, file, seed, device.threads(), console);
    try (Dataset data = DataSource.open(split == Split.TEST ? options.withWhole() : options);
        Backend backend = device.open(console)) {
      ImageSet images =
          relabelled(network, split == Split.TEST ? data.test() : data.train(), data.name());
      int[] all = IntStream.range(0, images.size()).toArray();
      Quality quality = Quality.of(backend, network, images, all, Math.min(batch, all.length));
      Double ms =
          latency ? (Double) new LatencyMeter(backend, 1).measure(network.architecture()) : null;
      Description description = Description.of(network.architecture());
      if (json) {
        console.print(json(quality, data, backend, ms, description));
      } else {
        console.print(text(quality, data, backend, ms, description));
      }
    }
    return 0;
  }

  /** A model file, or that of a run. */
  static Path file(Path model) {
    if (!Files.isDirectory(model)) {
      return model;
    }
    Path file = model.resolve(RunFolder.MODEL);
    if (!Files.isRegularFile(file)) {
      throw UserException.data(
          "%s holds no %s: a training writes it at its end, 'fbnet sample RUN --train K' for a"
              + " search",
          model, RunFolder.MODEL);
    }
    return file;
  }

  /** The images with the labels that the network gives their classes' names. */
  static ImageSet relabelled(TrainedNetwork network, ImageSet images, String data) {
    Map<String, Integer> positions = new HashMap<>();
    for (int i = 0; i < network.classes().size(); i++) {
      positions.putIfAbsent(network.classes().get(i), i);
    }
    List<String> unknown = new ArrayList<>(images.classes());
    unknown.removeAll(positions.keySet());
    List<String> absent = new ArrayList<>(network.classes());
    absent.removeAll(images.classes());
    if (!unknown.isEmpty() || !absent.isEmpty()) {
      throw UserException.data(
          "the classes of %s are not the model's: %s%s%s; 'fbnet import --classes' renames a"
              + " model's",
          data,
          unknown.isEmpty() ? "" : "the model does not know " + few(unknown),
          unknown.isEmpty() || absent.isEmpty() ? "" : ", and ",
          absent.isEmpty() ? "" : "the data does not have " + few(absent));
    }
    int[] labels = images.labels();
    for (int i = 0; i < labels.length; i++) {
      labels[i] = positions.get(images.classes().get(labels[i]));
    }
    return images.relabelled(labels, network.classes());
  }

  private static String few(List<String> names) {
    int shown = Math.min(3, names.size());
    String text = "'" + String.join("', '", names.subList(0, shown)) + "'";
    return names.size() > shown ? text + " and " + (names.size() - shown) + " more" : text;
  }

  private String text(
      Quality quality, Dataset data, Backend backend, Double ms, Description description) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%s images of %s%s: ",
            split.name().toLowerCase(Locale.ROOT),
            data.name(),
            data.generated() ? " (generated)" : ""));
    text.append(quality.text());
    text.append(
        String.format(
            Locale.ROOT,
            "%n%.2f M multiply-adds, %.3f M parameters%n",
            description.macs() / 1e6,
            description.parameters() / 1e6));
    if (ms != null) {
      text.append(
          String.format(
              Locale.ROOT, "%.4f ms an image at batch 1, measured on %s%n", ms, backend.device()));
    }
    return text.toString();
  }

  private ObjectNode json(
      Quality quality, Dataset data, Backend backend, Double ms, Description description) {
    ObjectNode tree = quality.json();
    tree.put("data", data.name());
    tree.put("split", split.name().toLowerCase(Locale.ROOT));
    tree.put("macs", description.macs());
    tree.put("parameters", description.parameters());
    tree.put("device", backend.device());
    if (ms != null) {
      tree.put("latency_ms", ms);
    }
    return tree;
  }
}
