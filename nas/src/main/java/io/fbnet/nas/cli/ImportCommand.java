package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code fbnet import}: tensors from elsewhere as a model file. */
@Command(
    name = "import",
    description =
        "Makes a model file of a safetensors file whose tensors have an architecture's names and"
            + " shapes. A model file may be given too: flags then replace what it says.")
final class ImportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(paramLabel = "WEIGHTS.safetensors", description = "The tensors, f32.")
  private Path weights;

  @Option(
      names = "--architecture",
      paramLabel = "NAME|FILE",
      description =
          "A published network, or an architecture's JSON file. Needed unless WEIGHTS is a model"
              + " file.")
  private String architecture;

  @Option(
      names = "--classes",
      paramLabel = "NAME",
      split = ",",
      description =
          "The classes' names in the order of their labels. Default: 0, 1, 2, ..., as many as the"
              + " architecture has.")
  private List<String> classes;

  @Option(
      names = "--mean",
      paramLabel = "NUMBER",
      split = ",",
      description = "One a channel, on the scale 0 to 1, as the network was trained. Default: 0.")
  private List<Float> mean;

  @Option(
      names = "--std",
      paramLabel = "NUMBER",
      split = ",",
      description = "One a channel, on the scale 0 to 1, as the network was trained. Default: 1.")
  private List<Float> std;

  @Option(
      names = "--trained-on",
      paramLabel = "WORDS",
      description = "What data it was trained on, for the record.")
  private String data;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A latency table, built in or a JSON file, to put the latency on record.")
  private String lut;

  @Option(
      names = "--out",
      paramLabel = "FILE.safetensors",
      required = true,
      description = "The model file.")
  private Path out;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    Optional<TrainedNetwork> known =
        TrainedNetwork.isModel(weights)
            ? Optional.of(TrainedNetwork.read(weights))
            : Optional.empty();
    Architecture network = architecture(known);
    Map<String, float[]> tensors = TrainedNetwork.weights(weights, network, console::note);
    TrainedNetwork result;
    try {
      result =
          new TrainedNetwork(
              network,
              tensors,
              normalisation(network, known, console),
              names(network, known),
              data == null ? known.map(TrainedNetwork::data).orElse("") : data,
              latency(network, known, console),
              known.map(TrainedNetwork::testAccuracy).orElse(OptionalDouble.empty()));
    } catch (IllegalArgumentException e) {
      throw UserException.usage("the flags make no model: %s", e.getMessage());
    }
    result.write(out);
    console.note("model written to " + out);
    return 0;
  }

  private Architecture architecture(Optional<TrainedNetwork> known) {
    if (architecture == null && known.isEmpty()) {
      throw UserException.usage(
          "%s holds tensors but no architecture: name it with --architecture", weights);
    }
    Architecture named =
        architecture == null ? known.orElseThrow().architecture() : Architecture.load(architecture);
    int count =
        classes != null
            ? classes.size()
            : known.map(model -> model.classes().size()).orElse(named.space().classes());
    try {
      return new Architecture(named.name(), named.space().withClasses(count), named.blocks());
    } catch (IllegalArgumentException e) {
      throw UserException.usage("--classes names too few or too many: %s", e.getMessage());
    }
  }

  private List<String> names(Architecture network, Optional<TrainedNetwork> known) {
    if (classes != null) {
      return classes;
    }
    return known
        .map(TrainedNetwork::classes)
        .orElseGet(
            () ->
                IntStream.range(0, network.space().classes()).mapToObj(Integer::toString).toList());
  }

  private Normalisation normalisation(
      Architecture network, Optional<TrainedNetwork> known, Console console) {
    if ((mean == null) != (std == null)) {
      throw UserException.usage("--mean and --std go together");
    }
    if (mean != null) {
      return new Normalisation(mean, std);
    }
    if (known.isPresent()) {
      return known.get().normalisation();
    }
    console.note(
        "no --mean and --std: the model takes pixels from 0 to 1 as they are, which is wrong if it"
            + " was trained on normalised ones");
    return Normalisation.none(network.space().input().channels());
  }

  private Optional<TrainedNetwork.Latency> latency(
      Architecture network, Optional<TrainedNetwork> known, Console console) {
    if (lut == null) {
      return known.flatMap(TrainedNetwork::latency);
    }
    LatencyTable table = LatencyTable.load(lut);
    table.requireFits(network.space(), console::warn);
    return Optional.of(new TrainedNetwork.Latency(table.device(), table.latencyOf(network), lut));
  }
}
