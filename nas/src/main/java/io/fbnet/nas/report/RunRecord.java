package io.fbnet.nas.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.Theta;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * All that a run's files say, as far as they are there: a run may be going on, or have been stopped
 * at any point.
 */
final class RunRecord {
  private static final String TARGET_KEY = "target_ms";
  private static final String MOST_KEY = "max_ms";

  final RunFiles files;

  /** The configuration's flags and values, as written. */
  final Map<String, String> config = new LinkedHashMap<>();

  final Optional<LatencyTable> table;
  final Optional<Architecture> architecture;
  final Optional<SamplesFile> samples;

  /** Theta after each epoch, in order. */
  final List<Epoch> epochs = new ArrayList<>();

  private final Map<String, Series> series = new LinkedHashMap<>();
  private OptionalDouble target = OptionalDouble.empty();
  private boolean hasTarget;
  private long steps;

  /**
   * One epoch's end. Its array is never changed.
   *
   * @param number from 1
   * @param step optimiser steps done
   * @param probabilities of each candidate of each layer
   */
  @SuppressWarnings("ArrayRecordComponent")
  record Epoch(int number, long step, double[][] probabilities) {}

  private RunRecord(RunFiles files) {
    this.files = files;
    for (Map.Entry<String, Node> entry : Document.yaml(files.config()).mapping().entrySet()) {
      config.put(entry.getKey(), shown(entry.getValue()));
    }
    table = ifThere(files.latency()).map(path -> LatencyTable.load(path.toString()));
    architecture = ifThere(files.architecture()).map(path -> Architecture.load(path.toString()));
    samples = ifThere(files.samples()).map(SamplesFile::read);
    MetricsLog.read(files.metrics()).forEach(this::take);
  }

  /**
   * Reads a run's folder without locking it.
   *
   * @throws io.fbnet.nas.UserException exit code 2 if the folder holds no run, 3 if a file of it is
   *     wrong
   */
  static RunRecord read(Path root) {
    return new RunRecord(RunFiles.existing(root));
  }

  private static Optional<Path> ifThere(Path path) {
    return Files.exists(path) ? Optional.of(path) : Optional.empty();
  }

  private static String shown(Node node) {
    return node.isList()
        ? String.join(", ", node.list(0, Integer.MAX_VALUE).stream().map(RunRecord::shown).toList())
        : node.scalar().orElse("");
  }

  /** Every number of a line becomes part of a series; what a line lacks is not missed. */
  private void take(ObjectNode line) {
    long step = line.path("step").asLong();
    steps = Math.max(steps, step);
    String phase = line.path("phase").asText("");
    for (Map.Entry<String, JsonNode> field : line.properties()) {
      if (field.getValue().isNumber()) {
        series
            .computeIfAbsent(key(phase, field.getKey()), k -> new Series())
            .add((double) step, field.getValue().asDouble());
      }
    }
    hasTarget |= line.path(TARGET_KEY).isNumber();
    JsonNode held = line.path(hasTarget ? TARGET_KEY : MOST_KEY);
    if (held.isNumber() && held.asDouble() > 0) {
      target = OptionalDouble.of(held.asDouble());
    }
    double[][] logits = logits(line.path("theta"));
    if (phase.equals("epoch") && logits != null) {
      epochs.add(
          new Epoch(line.path("epoch").asInt() + 1, step, new Theta(logits).probabilities()));
    }
  }

  /** Theta as [layer][candidate]; null where it is no such thing, or not like the one before. */
  private double[][] logits(JsonNode node) {
    int layers = node.isArray() ? node.size() : 0;
    int candidates = layers == 0 ? 0 : node.get(0).size();
    if (candidates == 0) {
      return null;
    }
    if (!epochs.isEmpty()) {
      double[][] before = epochs.getLast().probabilities();
      if (before.length != layers || before[0].length != candidates) {
        return null;
      }
    }
    double[][] logits = new double[layers][candidates];
    for (int l = 0; l < layers; l++) {
      if (node.get(l).size() != candidates) {
        return null;
      }
      for (int k = 0; k < candidates; k++) {
        if (!node.get(l).get(k).isNumber()) {
          return null;
        }
        logits[l][k] = node.get(l).get(k).asDouble();
      }
    }
    return logits;
  }

  private static String key(String phase, String name) {
    return phase + "/" + name;
  }

  /** The numbers of this name in the lines of this phase (w, theta, epoch); maybe none. */
  Series series(String phase, String name) {
    return series.getOrDefault(key(phase, name), new Series());
  }

  /** The latency that the search should hold or stay below, in ms, if it had one. */
  OptionalDouble target() {
    return target;
  }

  /** What that is called. */
  String targetName() {
    return hasTarget ? "target" : "limit";
  }

  /** Optimiser steps of both kinds that the log knows. */
  long steps() {
    return steps;
  }

  /** Epochs that were planned. */
  OptionalInt plannedEpochs() {
    String epochs = config.getOrDefault("epochs", "");
    return epochs.matches("[0-9]{1,9}")
        ? OptionalInt.of(Integer.parseInt(epochs))
        : OptionalInt.empty();
  }

  /** Epochs that are done. */
  int epochsDone() {
    Series done = series("epoch", "epoch");
    return done.isEmpty() ? 0 : (int) done.last() + 1;
  }

  /** Whether all epochs are done. */
  boolean finished() {
    return plannedEpochs().isPresent() && epochsDone() >= plannedEpochs().getAsInt();
  }

  /** The candidates' names: the table's, the result's, or numbers. */
  List<String> blockNames(int count) {
    List<String> names =
        table
            .map(t -> t.space().blocks())
            .or(() -> architecture.map(a -> a.space().blockNames()))
            .orElse(List.of());
    if (names.size() == count) {
      return names;
    }
    List<String> numbers = new ArrayList<>();
    for (int k = 1; k <= count; k++) {
      numbers.add("block " + k);
    }
    return numbers;
  }

  /** What the page cannot show yet, each with what brings it. */
  List<String> missing() {
    List<String> missing = new ArrayList<>();
    boolean supernet = config.getOrDefault("evaluator", "supernet").equals("supernet");
    if (!supernet) {
      if (architecture.isEmpty()) {
        missing.add(
            "The search is not finished: fbnet search --resume RUN continues it. No supernet is"
                + " trained in it, so there are no steps to draw.");
      }
      return missing;
    }
    if (!finished()) {
      missing.add(
          plannedEpochs().isPresent()
              ? String.format(
                  Locale.ROOT,
                  "The search is not finished: %d of %d epochs are done. fbnet search --resume RUN"
                      + " continues it.",
                  epochsDone(),
                  plannedEpochs().getAsInt())
              : "The configuration names no number of epochs, so whether the search is finished is"
                  + " unknown.");
    }
    if (table.isEmpty()) {
      missing.add("No latency table yet: the run died before it wrote one.");
    }
    if (steps == 0) {
      missing.add("No step is logged yet.");
    } else if (epochs.isEmpty()) {
      missing.add("No epoch is done yet, so there is no theta to draw.");
    }
    if (samples.isEmpty()) {
      missing.add("No samples yet: fbnet sample RUN draws and scores architectures.");
    }
    if (architecture.isEmpty()) {
      missing.add("No architecture yet: it is chosen among the samples.");
    }
    return missing;
  }
}
