package io.fbnet.nas.model;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.Shape;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.Document;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Node;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.space.Architecture;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** Reads and writes model files: safetensors whose metadata holds all that is no tensor. */
final class ModelFile {
  private static final int FORMAT = 1;

  /** Its presence makes a safetensors file a model file; others may have metadata of their own. */
  private static final String VERSION = "fbnet_format";

  private static final String ARCHITECTURE = "architecture";
  private static final String CLASSES = "classes";
  private static final String MEAN = "mean";
  private static final String STD = "std";
  private static final String DATA = "data";
  private static final String LATENCY = "latency";
  private static final String ACCURACY = "test_accuracy";
  private static final List<String> KEYS =
      List.of(VERSION, ARCHITECTURE, CLASSES, MEAN, STD, DATA, LATENCY, ACCURACY);

  private static final String BATCH_COUNTER = ".num_batches_tracked";
  private static final int MOST_CLASSES = 100_000;

  private ModelFile() {}

  static boolean isModel(Path file) {
    try (Safetensors.Reader reader = Safetensors.open(file)) {
      return reader.metadata().containsKey(VERSION);
    }
  }

  static TrainedNetwork read(Path file) {
    try (Safetensors.Reader reader = Safetensors.open(file)) {
      Map<String, String> texts = reader.metadata();
      if (!texts.containsKey(VERSION)) {
        throw UserException.data(
            "%s holds tensors but no architecture: 'fbnet import' makes a model file of it", file);
      }
      json(file, texts, VERSION).requireVersion(FORMAT);
      for (String key : texts.keySet()) {
        if (!KEYS.contains(key)) {
          throw UserException.data(
              "%s: unknown metadata '%s'%s", file, key, Nearest.hint(key, KEYS));
        }
      }
      Architecture architecture =
          Architecture.parse(name(file, ARCHITECTURE), required(file, texts, ARCHITECTURE));
      List<String> classes =
          json(file, texts, CLASSES).list(2, MOST_CLASSES).stream().map(Node::text).toList();
      List<Float> mean = numbers(json(file, texts, MEAN));
      List<Float> std = numbers(json(file, texts, STD));
      Map<String, float[]> tensors = tensors(reader, file, architecture, Set.of());
      try {
        return new TrainedNetwork(
            architecture,
            tensors,
            new Normalisation(mean, std),
            classes,
            texts.getOrDefault(DATA, ""),
            latency(file, texts),
            texts.containsKey(ACCURACY)
                ? OptionalDouble.of(json(file, texts, ACCURACY).number(0, 1))
                : OptionalDouble.empty());
      } catch (IllegalArgumentException e) {
        throw UserException.data("%s is no model file: %s", file, e.getMessage());
      }
    }
  }

  private static String name(Path file, String key) {
    return file + ", metadata '" + key + "'";
  }

  private static String required(Path file, Map<String, String> texts, String key) {
    String text = texts.get(key);
    if (text == null) {
      throw UserException.data("%s lacks the metadata '%s' of a model file", file, key);
    }
    return text;
  }

  private static Node json(Path file, Map<String, String> texts, String key) {
    return Document.json(name(file, key), required(file, texts, key));
  }

  private static List<Float> numbers(Node node) {
    return node.list(1, 1024).stream()
        .map(item -> (float) item.number(-Float.MAX_VALUE, Float.MAX_VALUE))
        .toList();
  }

  private static Optional<TrainedNetwork.Latency> latency(Path file, Map<String, String> texts) {
    if (!texts.containsKey(LATENCY)) {
      return Optional.empty();
    }
    Node.Fields fields = json(file, texts, LATENCY).fields("device", "ms", "table");
    return Optional.of(
        new TrainedNetwork.Latency(
            fields.required("device").text(),
            fields.required("ms").number(0, Double.MAX_VALUE),
            fields.required("table").text()));
  }

  static Map<String, float[]> weights(
      Path file, Architecture architecture, Consumer<String> notes) {
    try (Safetensors.Reader reader = Safetensors.open(file)) {
      Set<String> counters =
          reader.names().stream()
              .filter(name -> name.endsWith(BATCH_COUNTER))
              .collect(Collectors.toSet());
      if (!counters.isEmpty()) {
        notes.accept(
            String.format(
                Locale.ROOT,
                "%s: %d tensors '*%s' are passed over, nothing here counts batches",
                file,
                counters.size(),
                BATCH_COUNTER));
      }
      return tensors(reader, file, architecture, counters);
    }
  }

  private static Map<String, float[]> tensors(
      Safetensors.Reader reader, Path file, Architecture architecture, Set<String> passedOver) {
    List<ParameterSpec> needed = TrainedNetwork.parameters(architecture);
    Set<String> surplus = new HashSet<>(reader.names());
    List<String> missing = new ArrayList<>();
    for (ParameterSpec spec : needed) {
      if (!surplus.remove(spec.name())) {
        missing.add(spec.name());
      }
    }
    surplus.removeAll(passedOver);
    if (!missing.isEmpty()) {
      String name = missing.getFirst();
      throw UserException.data(
          "%s holds no tensor '%s', which the architecture needs%s%s",
          file,
          name,
          missing.size() > 1 ? " (and " + (missing.size() - 1) + " others)" : "",
          Nearest.to(name, surplus).map(near -> "; is it the '" + near + "'?").orElse(""));
    }
    if (!surplus.isEmpty()) {
      String name = reader.names().stream().filter(surplus::contains).findFirst().orElseThrow();
      throw UserException.data(
          "%s holds the tensor '%s'%s, for which the architecture has no place",
          file, name, surplus.size() > 1 ? " (and " + (surplus.size() - 1) + " others)" : "");
    }
    Map<String, float[]> tensors = new LinkedHashMap<>();
    for (ParameterSpec spec : needed) {
      tensors.put(spec.name(), tensor(reader, file, spec));
    }
    return tensors;
  }

  private static float[] tensor(Safetensors.Reader reader, Path file, ParameterSpec spec) {
    List<Long> shape = shape(spec.shape());
    // Asked before memory is taken: a file's header alone may not cost gigabytes.
    if (reader.type(spec.name()) != Tensor.Type.F32 || !reader.shape(spec.name()).equals(shape)) {
      throw UserException.data(
          "%s: the tensor '%s' is %s %s, but the architecture needs %s %s",
          file,
          spec.name(),
          reader.type(spec.name()),
          reader.shape(spec.name()),
          Tensor.Type.F32,
          shape);
    }
    if (spec.shape().elements() > Integer.MAX_VALUE - 16) {
      throw UserException.data(
          "%s: the tensor '%s' has %d numbers, more than this program can take",
          file, spec.name(), spec.shape().elements());
    }
    float[] values = new float[(int) spec.shape().elements()];
    reader.read(spec.name(), MemorySegment.ofArray(values));
    boolean variance = spec.name().endsWith(".running_var");
    for (float value : values) {
      if (!Float.isFinite(value) || variance && value < 0) {
        throw UserException.data(
            "%s: the tensor '%s' holds %s, which is no %s",
            file, spec.name(), value, variance ? "variance" : "finite number");
      }
    }
    return values;
  }

  private static List<Long> shape(Shape shape) {
    List<Long> dimensions = new ArrayList<>();
    for (int i = 0; i < shape.rank(); i++) {
      dimensions.add((long) shape.get(i));
    }
    return dimensions;
  }

  static void write(TrainedNetwork network, Path file) {
    List<Tensor> tensors = new ArrayList<>();
    for (ParameterSpec spec : TrainedNetwork.parameters(network.architecture())) {
      float[] values = network.tensors().get(spec.name());
      tensors.add(
          new Tensor(
              spec.name(),
              Tensor.Type.F32,
              shape(spec.shape()),
              MemorySegment.ofArray(values).asReadOnly()));
    }
    try {
      Safetensors.write(file, tensors, metadata(network));
    } catch (IOException e) {
      throw AtomicFile.unwritable(file, e);
    }
  }

  private static Map<String, String> metadata(TrainedNetwork network) {
    Map<String, String> texts = new LinkedHashMap<>();
    texts.put(VERSION, Integer.toString(FORMAT));
    texts.put(ARCHITECTURE, network.architecture().json().toString());
    ArrayNode classes = JsonNodeFactory.instance.arrayNode();
    network.classes().forEach(classes::add);
    texts.put(CLASSES, classes.toString());
    texts.put(MEAN, Normalisation.json(network.normalisation().mean()));
    texts.put(STD, Normalisation.json(network.normalisation().std()));
    if (!network.data().isEmpty()) {
      texts.put(DATA, network.data());
    }
    network
        .latency()
        .ifPresent(
            latency ->
                texts.put(
                    LATENCY,
                    JsonNodeFactory.instance
                        .objectNode()
                        .put("device", latency.device())
                        .put("ms", latency.ms())
                        .put("table", latency.table())
                        .toString()));
    if (network.testAccuracy().isPresent()) {
      texts.put(ACCURACY, Double.toString(network.testAccuracy().getAsDouble()));
    }
    return texts;
  }
}
