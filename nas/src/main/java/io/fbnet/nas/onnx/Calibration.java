package io.fbnet.nas.onnx;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.UserException;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.network.BatchInputs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntConsumer;

/**
 * What numbers a trained network's values take on images, for static quantisation. Of each value's
 * numbers over all images a share is left out at either end: outliers would make all other steps
 * coarse.
 */
public final class Calibration {
  private static final int MOST_IMAGES = 32;

  /** Numbers that a run may give back: 128 MiB of them. */
  private static final long MOST_NUMBERS = 32L << 20;

  private final Graph graph;
  private final Map<Value, Histogram> histograms;

  private Calibration(Graph graph, Map<Value, Histogram> histograms) {
    this.graph = graph;
    this.histograms = histograms;
  }

  /**
   * Runs a network over images.
   *
   * @param backend where it runs
   * @param network the network
   * @param set the images, not normalised yet
   * @param numbers which of them; not empty
   * @param progress told how many images are done
   * @return what was found
   * @throws UserException (exit code 3) if a value is no finite number
   */
  public static Calibration of(
      Backend backend, TrainedNetwork network, ImageSet set, int[] numbers, IntConsumer progress) {
    Normalisation normalisation = network.normalisation().with(set.shape().pixels());
    Graph one = ArchitectureGraphs.inference(network.architecture(), 1);
    long each =
        Quantisation.rounded(one).stream().mapToLong(value -> value.shape().elements()).sum();
    int batch = Math.clamp(MOST_NUMBERS / each, 1, Math.min(MOST_IMAGES, numbers.length));
    Graph graph = ArchitectureGraphs.inference(network.architecture(), batch);
    List<Value> values = Quantisation.rounded(graph);
    Map<Value, Histogram> histograms = new LinkedHashMap<>();
    values.forEach(value -> histograms.put(value, new Histogram()));
    Graph showing = showing(graph, values);
    String[] outputs = showing.outputs().keySet().toArray(String[]::new);
    try (ParameterStore store = network.store(backend);
        Program program = Program.compileFixed(backend, showing, store);
        Arena arena = Arena.ofConfined()) {
      MemorySegment images = arena.allocate(JAVA_FLOAT, (long) batch * set.shape().elements());
      float[] normalised = new float[batch * set.shape().elements()];
      for (int from = 0; from < numbers.length; from += batch) {
        // The last run begins with images that are counted, and ends with some from the beginning.
        int counted = Math.min(batch, numbers.length - from);
        for (int i = 0; i < batch; i++) {
          int number = numbers[(from + i) % numbers.length];
          normalisation.apply(set.image(number), normalised, i * set.shape().elements());
        }
        MemorySegment.copy(normalised, 0, images, JAVA_FLOAT, 0, normalised.length);
        program.write(BatchInputs.IMAGES, images);
        program.run();
        float[][] shown = program.readLater(outputs).await();
        require(histograms.get(values.getFirst()).add(normalised), values.getFirst());
        for (int v = 1; v < values.size(); v++) {
          require(histograms.get(values.get(v)).add(shown[v - 1]), values.get(v));
        }
        progress.accept(from + counted);
      }
    }
    return new Calibration(graph, histograms);
  }

  /** {@return the graph whose values they are} */
  public Graph graph() {
    return graph;
  }

  /**
   * {@return ranges of all values that are rounded}
   *
   * @param leftOut the share of a value's numbers that lies outside at either end, from 0 to 1
   */
  public Quantisation quantisation(double leftOut) {
    Map<Value, Range> ranges = new LinkedHashMap<>();
    histograms.forEach((value, histogram) -> ranges.put(value, histogram.range(leftOut)));
    return new Quantisation(ranges, Set.of());
  }

  /** The graph with all values but its input, which is the first, as outputs. */
  private static Graph showing(Graph graph, List<Value> values) {
    Map<String, Value> outputs = new LinkedHashMap<>();
    for (int v = 1; v < values.size(); v++) {
      outputs.put("value" + v, values.get(v));
    }
    return new Graph(graph.ops(), graph.storage(), graph.parameters(), outputs);
  }

  private static void require(boolean finite, Value value) {
    if (!finite) {
      throw UserException.data(
          "%s takes values that are no finite numbers on these images: the network cannot be"
              + " quantised",
          value);
    }
  }
}
