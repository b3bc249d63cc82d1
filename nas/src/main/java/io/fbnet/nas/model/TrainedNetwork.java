package io.fbnet.nas.model;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.NetworkBuilder;
import io.fbnet.nas.space.Architecture;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Consumer;

/**
 * A network with everything that it takes to use it. Its file is described in {@code
 * docs/formats.md}.
 *
 * @param architecture with the space it was chosen from
 * @param tensors weights and running statistics in row-major order by their documented names, in
 *     the order of {@link #parameters}; the arrays are not copied and must not be changed
 * @param normalisation of the images it was trained on
 * @param classes names; the label is the position
 * @param data what it was trained on, in words; may be empty
 * @param latency by a latency table, if one is known
 * @param testAccuracy the share of test images it got right, 0 to 1, if they were read
 */
public record TrainedNetwork(
    Architecture architecture,
    Map<String, float[]> tensors,
    Normalisation normalisation,
    List<String> classes,
    String data,
    Optional<Latency> latency,
    OptionalDouble testAccuracy) {

  /**
   * How long one image takes.
   *
   * @param device the device's name
   * @param ms milliseconds
   * @param table the table that says so; of a file its name alone is kept, for models travel
   */
  public record Latency(String device, double ms, String table) {
    /**
     * Checks the parts, and leaves out folders.
     *
     * @throws IllegalArgumentException if device or table is blank, or ms negative or no number
     */
    public Latency {
      table = table.substring(table.lastIndexOf('/') + 1);
      if (device.isBlank() || table.isBlank() || !Double.isFinite(ms) || ms < 0) {
        throw new IllegalArgumentException(
            "a latency has a device, a table and milliseconds from 0 up");
      }
    }
  }

  /**
   * Checks that the parts fit.
   *
   * @throws IllegalArgumentException with a sentence to show, if they do not
   */
  public TrainedNetwork {
    classes = List.copyOf(classes);
    Map<String, float[]> ordered = new LinkedHashMap<>();
    for (ParameterSpec spec : parameters(architecture)) {
      float[] values = tensors.get(spec.name());
      if (values == null || values.length != spec.shape().elements()) {
        throw new IllegalArgumentException(
            String.format(
                Locale.ROOT,
                "the tensor '%s' must have %d numbers, but has %s",
                spec.name(),
                spec.shape().elements(),
                values == null ? "none" : values.length));
      }
      ordered.put(spec.name(), values);
    }
    if (tensors.size() != ordered.size()) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "the architecture has %d tensors, not %d",
              ordered.size(),
              tensors.size()));
    }
    tensors = Collections.unmodifiableMap(ordered);
    int channels = architecture.space().input().channels();
    if (normalisation.channels() != channels) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "mean and std have %d numbers, but images have %d channels",
              normalisation.channels(),
              channels));
    }
    if (classes.size() != architecture.space().classes()) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "%d classes are named, but the network tells %d apart",
              classes.size(),
              architecture.space().classes()));
    }
    if (classes.stream().anyMatch(String::isBlank)) {
      throw new IllegalArgumentException("a class has an empty name");
    }
    double accuracy = testAccuracy.orElse(0);
    if (!(accuracy >= 0 && accuracy <= 1)) {
      throw new IllegalArgumentException("a test accuracy lies between 0 and 1, not " + accuracy);
    }
  }

  /**
   * {@return the tensors of an architecture: name, shape (OIHW for convolutions) and parameter set}
   *
   * @param architecture the network
   */
  public static List<ParameterSpec> parameters(Architecture architecture) {
    return ArchitectureGraphs.inference(architecture, 1).parameters();
  }

  /**
   * {@return the values of an architecture's tensors by name, copied from a store}
   *
   * @param architecture the network
   * @param store what holds its {@link #parameters}, and may hold others too
   */
  public static Map<String, float[]> tensors(Architecture architecture, ParameterStore store) {
    return tensors(architecture, store, Storage.Flat.VALUES);
  }

  /**
   * {@return the numbers of an architecture's tensors by name, copied from a buffer of a store, or
   * from the values where a set has no such buffer: what is frozen has no average}
   *
   * @param architecture the network
   * @param store what holds its {@link #parameters} in whichever sets, and may hold others too
   * @param buffer of the values' layout, such as a moving average
   */
  public static Map<String, float[]> tensors(
      Architecture architecture, ParameterStore store, String buffer) {
    Map<String, String> places = new HashMap<>();
    for (String set : store.sets()) {
      store.layout(set).entries().forEach(entry -> places.put(entry.spec().name(), set));
    }
    Map<String, float[]> tensors = new LinkedHashMap<>();
    Map<String, float[]> sets = new HashMap<>();
    for (ParameterSpec spec : parameters(architecture)) {
      String place = places.getOrDefault(spec.name(), spec.set());
      float[] all =
          sets.computeIfAbsent(
              place,
              set -> store.readAll(set, store.has(set, buffer) ? buffer : Storage.Flat.VALUES));
      int from = (int) store.layout(place).find(spec.name(), spec.shape()).offset();
      int to = from + (int) spec.shape().elements();
      tensors.put(spec.name(), Arrays.copyOfRange(all, from, to));
    }
    return tensors;
  }

  /**
   * {@return the same network with the share of test images that it got right}
   *
   * @param accuracy from 0 to 1
   * @throws IllegalArgumentException if it lies outside
   */
  public TrainedNetwork withTestAccuracy(double accuracy) {
    return new TrainedNetwork(
        architecture, tensors, normalisation, classes, data, latency, OptionalDouble.of(accuracy));
  }

  /**
   * {@return a store on a device that holds these tensors, for programs of this architecture; the
   * caller closes it}
   *
   * @param backend the device
   */
  public ParameterStore store(Backend backend) {
    ParameterStore store = new ParameterStore(backend, parameters(architecture));
    for (String set : List.of(NetworkBuilder.WEIGHTS, NetworkBuilder.STATISTICS)) {
      ParameterLayout layout = store.layout(set);
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
        for (ParameterLayout.Entry entry : layout.entries()) {
          float[] values = tensors.get(entry.spec().name());
          MemorySegment.copy(
              values, 0, host, JAVA_FLOAT, entry.offset() * Float.BYTES, values.length);
        }
        store.load(set, Storage.Flat.VALUES, host);
      } catch (RuntimeException e) {
        store.close();
        throw e;
      }
    }
    return store;
  }

  /**
   * Reads a model file.
   *
   * @param file the file
   * @return the network
   * @throws UserException (exit code 3) if it is none, or its tensors are not the architecture's;
   *     (exit code 5) if it cannot be read
   */
  public static TrainedNetwork read(Path file) {
    return ModelFile.read(file);
  }

  /**
   * {@return whether a safetensors file says of itself that it is a model file, and not bare
   * weights}
   *
   * @param file the file
   * @throws UserException (exit code 3) if it is no safetensors file, (exit code 5) if it cannot be
   *     read
   */
  public static boolean isModel(Path file) {
    return ModelFile.isModel(file);
  }

  /**
   * Reads the tensors of any safetensors file that has exactly those of an architecture. Counters
   * of batches that PyTorch keeps ({@code *.num_batches_tracked}) are passed over.
   *
   * @param file the file
   * @param architecture the network
   * @param notes told what was passed over
   * @return numbers in row-major order by tensor name, in the order of {@link #parameters}
   * @throws UserException (exit code 3) if a tensor is missing, too many, of another shape or type,
   *     not finite, or a variance that is negative; (exit code 5) if the file cannot be read
   */
  public static Map<String, float[]> weights(
      Path file, Architecture architecture, Consumer<String> notes) {
    return ModelFile.weights(file, architecture, notes);
  }

  /**
   * Writes the model file, whole or not at all.
   *
   * @param file the file, replaced where it exists; missing folders are made
   * @throws UserException (exit code 5) if it cannot be written
   */
  public void write(Path file) {
    ModelFile.write(this, file);
  }
}
