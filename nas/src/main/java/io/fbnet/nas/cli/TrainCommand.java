package io.fbnet.nas.cli;

import io.fbnet.engine.backend.Backend;
import io.fbnet.nas.UserException;
import io.fbnet.nas.cli.FineTuneFlags.Origin;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.run.RunFolder;
import io.fbnet.nas.search.Search;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.train.HoldOut;
import io.fbnet.nas.train.Pretrained;
import io.fbnet.nas.train.Quality;
import io.fbnet.nas.train.Recipe;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet train}: one architecture, from scratch or from a trained network. */
@Command(
    name = "train",
    description = {
      "Trains an architecture by SGD, from scratch or from a trained network, reads the test images"
          + " once at the end, and writes the network as model.safetensors into the run's folder.",
      "",
      "The paper's recipe for ImageNet: --epochs 360 --batch 256 --rate 0.1 --schedule step"
          + " --steps 90,180,270 --weight-decay 4e-5."
    })
final class TrainCommand implements Callable<Integer> {
  /** Flags that the run folder's architecture has in it already, and those that name a folder. */
  private static final Set<String> NOT_OF_THE_RUN =
      Set.of(
          "out",
          "resume",
          ChangedData.NAME.substring(2),
          "width",
          "resolution",
          "head",
          "always-pw",
          "skips",
          "classes");

  /** And those that name places of this machine, or say nothing of the network. */
  private static final Set<String> NOT_OF_THE_CARD =
      Stream.concat(
              NOT_OF_THE_RUN.stream(),
              Stream.of("data", "data-dir", "offline", "lut", "from", "rank-timeout"))
          .collect(Collectors.toSet());

  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(
      arity = "0..1",
      paramLabel = ArchitectureFlags.LABEL,
      description = ArchitectureFlags.DESCRIPTION + " With --from it may be left out.")
  private String architecture;

  @Mixin ArchitectureFlags changes;
  @Mixin FineTuneFlags fineTune;
  @Mixin DataFlags dataFlags;
  @Mixin DeviceFlags device;
  @Mixin RecipeFlags recipe;
  @Mixin ChangedData changedData;
  @Mixin RankFlags ranks;

  @Option(
      names = "--hold-out",
      paramLabel = "SHARE",
      defaultValue = "0",
      description =
          "The share of the training images that is not trained on; the accuracy on it is said.")
  private double holdOut;

  @Option(
      names = "--split-seed",
      paramLabel = "SEED",
      description =
          "What --hold-out and --train-images draw images from. A search's --seed here, its"
              + " --train-images as --hold-out-of, and the share of its images that trained theta"
              + " as --hold-out hold out just these. Default: --seed.")
  private Long splitSeed;

  @Option(
      names = "--hold-out-of",
      paramLabel = "IMAGES",
      description =
          "Of how many training images --hold-out takes its share; 0: all. Where it is not"
              + " --train-images, so many are trained on beside those held out. Default:"
              + " --train-images.")
  private Integer holdOutOf;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A latency table, built in or a JSON file, to put the latency on record.")
  private String lut;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "The run's folder, a new one. Default: runs/ARCHITECTURE-TIME.")
  private Path out;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description =
          "Continues the run in this folder from its newest whole checkpoint, with its own"
              + " architecture and configuration; takes no architecture.")
  private Path resume;

  @Override
  public Integer call() {
    if (changedData.accepted && resume == null) {
      throw UserException.usage("%s needs --resume", ChangedData.NAME);
    }
    recipe.resolve(1, 0);
    if (!(holdOut >= 0 && holdOut < 1)) {
      throw UserException.usage("--hold-out must lie from 0 to below 1, but is %s", holdOut);
    }
    splitSeed = splitSeed == null ? recipe.seed : splitSeed;
    if (holdOutOf != null && holdOut == 0) {
      throw UserException.usage("--hold-out-of needs --hold-out");
    }
    if (holdOutOf != null) {
      Ranges.atLeast("--hold-out-of", holdOutOf, 0);
    }
    int of = holdOutOf == null ? recipe.trainImages : holdOutOf;
    if (out != null && out.toString().endsWith(".safetensors")) {
      throw UserException.usage(
          "--out names the run's folder, in which %s is written; %s looks like a file",
          RunFolder.MODEL, out);
    }
    Optional<Origin> origin = fineTune.origin(resume);
    Architecture read = read(origin);
    Preset preset = Preset.of(read.space());
    dataFlags.resolve(preset.data());
    lut = RunConfig.anchored(lut, LatencyTable.builtIns());
    HoldOut heldOut = new HoldOut(holdOut, splitSeed, of);
    return ranks.together(spec, console -> train(read, origin, heldOut, console));
  }

  private Architecture read(Optional<Origin> origin) {
    if (architecture == null && origin.isEmpty()) {
      throw UserException.usage(
          "Missing required parameter: '%s', or --from (see '%s --help')",
          ArchitectureFlags.LABEL, spec.qualifiedName());
    }
    Architecture read =
        changes.changed(
            architecture == null
                ? origin.orElseThrow().model().architecture()
                : Architecture.load(architecture));
    origin.ifPresent(from -> FineTuneFlags.requireSame(read, from));
    return read;
  }

  private int train(Architecture read, Optional<Origin> origin, HoldOut heldOut, Console console) {
    device.threads = device.threads(ranks.ranks());
    try (RunFolder folder =
            ranks.folder(() -> resume == null ? create(read) : RunFolder.open(resume));
        Dataset data = ranks.inTurn(() -> opened(read, heldOut, console));
        Backend backend = device.open(console, ranks.ranks());
        ProgressLine progress = ranks.progress(spec)) {
      Architecture network = forData(read, data);
      Recipe how = how(heldOut);
      Optional<LatencyTable> table = table(network, folder, console);
      Optional<Pretrained> from = origin.map(model -> model.on(data));
      if (resume == null) {
        origin.ifPresent(model -> model.tell(from.orElseThrow(), data, console));
        ranks.first(() -> begin(folder, network, origin, table));
      }
      Optional<TrainedNetwork.Latency> latency =
          table.map(t -> new TrainedNetwork.Latency(t.device(), t.latencyOf(network), lut));
      Continuation continuation = new Continuation("fbnet train --resume " + folder.root());
      TrainedNetwork trained =
          new ChildTraining(
                  backend,
                  data,
                  how,
                  changedData.accepted,
                  console,
                  progress,
                  ranks.signals(console),
                  continuation)
              .train(folder, network, latency, from, "");
      if (ranks.leads()) {
        continuation.of(() -> report(folder, trained, how, backend, data, origin, console));
      }
    }
    return 0;
  }

  private void begin(
      RunFolder folder,
      Architecture network,
      Optional<Origin> origin,
      Optional<LatencyTable> table) {
    origin.ifPresent(model -> model.keep(folder.files().from()));
    table.ifPresent(t -> t.write(folder.latency()));
    // The configuration last: it is what makes the folder a run that can be resumed.
    network.write(folder.architecture());
    AtomicFile.writeText(folder.config(), ConfigFile.resolved(spec, NOT_OF_THE_RUN));
  }

  private RunFolder create(Architecture read) {
    String name = read.name();
    if (!name.matches("[\\w.-]+")) {
      String file = Path.of(architecture == null ? "train" : architecture).getFileName().toString();
      name = file.replaceFirst("\\.json$", "");
    }
    return RunConfig.newFolder(out, name);
  }

  /** The architecture with as many classes as the data has. */
  private static Architecture forData(Architecture read, Dataset data) {
    return new Architecture(read.name(), Search.fitted(read.space(), data), read.blocks());
  }

  /** The images, refused before a device is opened where they make no step. */
  private Dataset opened(Architecture read, HoldOut heldOut, Console console) {
    Dataset data =
        dataFlags.open(read.space(), dataFlags.data, splitSeed, device.threads(), console);
    try {
      recipe.augmentation.resolve(data, console::note);
      Recipe how = how(heldOut);
      how.require(data);
      if (resume == null) {
        ClassFlags.warn(how.balance(), data.train(), how.trained(data.train()), console);
      }
      return data;
    } catch (RuntimeException e) {
      data.close();
      throw e;
    }
  }

  private Recipe how(HoldOut heldOut) {
    return recipe.recipe(heldOut).withSharedNorms(ranks.syncBn);
  }

  /** The table that the flag names; of a resumed run the copy in its folder. */
  private Optional<LatencyTable> table(Architecture network, RunFolder folder, Console console) {
    if (lut == null) {
      return Optional.empty();
    }
    boolean kept = resume != null && Files.exists(folder.latency());
    LatencyTable table = LatencyTable.load(kept ? folder.latency().toString() : lut);
    table.requireFits(network.space(), console::warn);
    return Optional.of(table);
  }

  private void report(
      RunFolder folder,
      TrainedNetwork trained,
      Recipe how,
      Backend backend,
      Dataset data,
      Optional<Origin> origin,
      Console console) {
    StringBuilder text = new StringBuilder();
    int[] heldOut = how.heldOut(data.train());
    Optional<Quality> held =
        heldOut.length == 0
            ? Optional.empty()
            : Optional.of(Quality.of(backend, trained, data.train(), heldOut, how.batch()));
    held.ifPresent(
        quality ->
            text.append(
                String.format(
                    Locale.ROOT,
                    "accuracy on %d held out training images: %.4f%n",
                    heldOut.length,
                    quality.accuracy())));
    ImageSet test = data.test();
    Quality tested =
        Quality.of(backend, trained, test, IntStream.range(0, test.size()).toArray(), how.batch());
    double accuracy = tested.accuracy();
    trained.withTestAccuracy(accuracy).write(folder.model());
    String card =
        new TrainingCard(trained, data, how, ConfigFile.settings(spec, NOT_OF_THE_CARD), origin)
            .text(held, tested, backend);
    AtomicFile.writeText(folder.files().card(), card);
    text.append(
        String.format(
            Locale.ROOT,
            "accuracy on the %d test images of %s: %.4f%s%nwritten to %s%n",
            test.size(),
            data.name(),
            accuracy,
            how.ema() > 0 ? " (by the moving average)" : "",
            folder.model()));
    console.print(text.toString());
  }
}
