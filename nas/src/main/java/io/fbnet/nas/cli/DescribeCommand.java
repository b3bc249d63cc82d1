package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.network.Published;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * {@code fbnet describe}: layers, multiply-adds, parameters and latency of an architecture, or of a
 * trained network and what it was trained on.
 */
@Command(
    name = "describe",
    description =
        "Shows the layers, multiply-adds, parameters and latency of an architecture, and of a"
            + " trained network (*.safetensors) its classes and accuracy as well.")
final class DescribeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin ConfigOption config;

  @Parameters(
      paramLabel = ArchitectureFlags.LABEL,
      description = {ArchitectureFlags.DESCRIPTION, "Or a trained network."})
  private String architecture;

  @Mixin ArchitectureFlags changes;

  @Option(
      names = "--lut",
      paramLabel = "TABLE",
      description = "A latency table, built in or a JSON file, to predict the latency with.")
  private String lut;

  @Option(names = "--json", description = "Prints JSON.")
  private boolean json;

  @Option(
      names = "--compare",
      description =
          "Sets a published network's counts beside the paper's, and says why they differ.")
  private boolean compare;

  @Override
  public Integer call() {
    Console console = new Console(spec);
    Optional<TrainedNetwork> trained = trained();
    Architecture network =
        changes.changed(
            trained
                .map(TrainedNetwork::architecture)
                .orElseGet(() -> Architecture.load(architecture)));
    Published published =
        !compare
            ? null
            : Published.of(network.name())
                .orElseThrow(
                    () ->
                        UserException.usage(
                            "--compare needs a published network (%s), not '%s'",
                            String.join(", ", Architecture.builtIns()), architecture));
    Description description = Description.of(network);
    if (lut != null) {
      LatencyTable table = LatencyTable.load(lut);
      table.requireFits(network.space(), console::warn);
      description = description.withLatency(table.latencyOf(network));
    }
    if (json) {
      ObjectNode tree = description.json();
      trained.ifPresent(
          model -> {
            tree.put("data", model.data());
            model.classes().forEach(tree.putArray("classes")::add);
            model.testAccuracy().ifPresent(accuracy -> tree.put("test_accuracy", accuracy));
          });
      console.print(tree);
    } else {
      console.print(description.text());
      trained.ifPresent(model -> console.print(words(model)));
      if (published != null) {
        console.print(published.compare(network));
      }
    }
    return 0;
  }

  private Optional<TrainedNetwork> trained() {
    return architecture.endsWith(".safetensors")
        ? Optional.of(TrainedNetwork.read(Path.of(architecture)))
        : Optional.empty();
  }

  private static String words(TrainedNetwork model) {
    String accuracy =
        model.testAccuracy().isPresent()
            ? String.format(
                Locale.ROOT, ", %.4f of its test images", model.testAccuracy().getAsDouble())
            : "";
    return String.format(
        Locale.ROOT,
        "trained on %s%s%nclasses: %s%n",
        model.data(),
        accuracy,
        String.join(", ", model.classes()));
  }
}
