package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.BadSamplePolicy;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.PixelType;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where a verb's images come from. */
final class DataFlags {
  @Option(
      names = "--data",
      paramLabel = "NAME|DIR",
      description =
          "fashion-mnist, shapes (a small generated set), or a folder: IDX files, CIFAR binaries,"
              + " tar files of images, or one folder of images a class. Default: fashion-mnist for"
              + " the space fashion.")
  String data;

  @Option(
      names = "--data-dir",
      paramLabel = "DIR",
      description = "Where to look for the data first.")
  Path dataDir;

  @Option(names = "--offline", description = "Fetches nothing.")
  boolean offline;

  @Option(
      names = "--pixels",
      paramLabel = "u8|f32",
      description =
          "How pixels are kept: f32 keeps the depth of images of more than 8 bits and takes four"
              + " times the memory. Default: u8, but f32 for .npy and TIFF files of more than 8"
              + " bits.")
  PixelType pixels;

  @Option(
      names = "--on-bad-sample",
      paramLabel = "fail|skip[:CAP]",
      defaultValue = "fail",
      description =
          "What an image that cannot be read does: end the run, or be left out up to a cap such as"
              + " skip:1%% or skip:20.")
  String onBadSample;

  /** Fills in the name, and makes paths whole: a run may be continued from another folder. */
  void resolve(String presetData) {
    data = data == null ? presetData : data;
    if (dataDir != null) {
      Path within = dataDir.resolve(data);
      boolean here = DataSource.NAMES.contains(data) || Files.exists(Path.of(data));
      data = here || !Files.exists(within) ? data : within.toString();
      dataDir = dataDir.toAbsolutePath().normalize();
    }
    data = RunConfig.anchored(data, DataSource.NAMES);
  }

  /** What to load for a space. */
  DataOptions options(
      SearchSpace space, String presetData, long seed, int threads, Console console) {
    String name = data == null ? presetData : data;
    if (name.isEmpty()) {
      throw UserException.usage(
          "the space %s has no data of its own: name a folder of images with --data", space.name());
    }
    SearchSpace.Input in = space.input();
    if ((long) in.channels() * in.height() * in.width() > ImageShape.MOST_ELEMENTS) {
      throw UserException.data(
          "the space '%s' takes images of %dx%dx%d, more numbers than an image may have, 2^29: make"
              + " its input smaller",
          space.name(), in.channels(), in.height(), in.width());
    }
    DataOptions options =
        DataOptions.of(name, new ImageShape(in.channels(), in.height(), in.width()))
            .withSeed(seed)
            .withOffline(offline)
            .withThreads(threads)
            .withBadSamples(BadSamplePolicy.parse(onBadSample))
            .withNotices(console::note);
    options = pixels == null ? options : options.withPixels(pixels);
    return dataDir == null ? options : options.withDataDir(dataDir);
  }

  /** What to load for a trained network: by itself what it was trained on, if that is a name. */
  DataOptions options(TrainedNetwork network, Path model, long seed, int threads, Console console) {
    if (data == null && !DataSource.NAMES.contains(network.data())) {
      throw UserException.usage(
          "%s was trained on '%s', which is no name of a data set: name a folder with --data",
          model, network.data());
    }
    return options(network.architecture().space(), network.data(), seed, threads, console);
  }

  /** Loads it. */
  Dataset open(SearchSpace space, String presetData, long seed, int threads, Console console) {
    return DataSource.open(options(space, presetData, seed, threads, console));
  }
}
