package io.fbnet.nas.train;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.program.Devices;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What an evaluation counts, against images taken one by one and counted here. */
class QualityTest {
  private static final long SEED = 20260412L;
  private static final int IMAGES = 150;
  private static final float MEAN = 0.4f;
  private static final float STD = 0.3f;

  private static TrainedNetwork network(int classes) {
    return network(classes, true);
  }

  /** A network of random weights, or a dead one that gives every image logits of zeros. */
  private static TrainedNetwork network(int classes, boolean alive) {
    SearchSpace space =
        SearchSpace.load("src/test/resources/io/fbnet/nas/endtoend/tiny.yaml").withClasses(classes);
    Architecture architecture = Architecture.of("", space, new int[space.layerCount()]);
    Graph graph = ArchitectureGraphs.inference(architecture, 1);
    try (Backend reference = Devices.open("reference");
        ParameterStore store = new ParameterStore(reference, graph.parameters())) {
      if (alive) {
        store.initialise(SEED);
      }
      return new TrainedNetwork(
          architecture,
          TrainedNetwork.tensors(architecture, store),
          new Normalisation(List.of(MEAN), List.of(STD)),
          IntStream.range(0, classes).mapToObj(c -> "class " + c).toList(),
          "",
          Optional.empty(),
          OptionalDouble.empty());
    }
  }

  private static ImageSet images(int classes) {
    ImageShape shape = new ImageShape(1, 12, 12);
    byte[] pixels = new byte[IMAGES * shape.elements()];
    Random random = new Random(SEED);
    random.nextBytes(pixels);
    // The last class has no images.
    int[] labels = random.ints(IMAGES, 0, classes - 1).toArray();
    return ImageSet.of(
        "test",
        shape,
        MemorySegment.ofArray(pixels),
        labels,
        IntStream.range(0, classes).mapToObj(c -> "class " + c).toList());
  }

  /** Logits of one image at a time, in double precision. */
  private static float[][] logits(TrainedNetwork network, ImageSet set) {
    float[][] logits = new float[IMAGES][];
    try (Backend reference = Devices.open("reference");
        ParameterStore store = network.store(reference);
        Program program =
            Program.compileFixed(
                reference, ArchitectureGraphs.inference(network.architecture(), 1), store);
        Arena arena = Arena.ofConfined()) {
      float[] one = new float[set.shape().elements()];
      for (int i = 0; i < IMAGES; i++) {
        for (int p = 0; p < one.length; p++) {
          int pixel = Byte.toUnsignedInt(set.image(i).getAtIndex(JAVA_BYTE, p));
          one[p] = (pixel / 255f - MEAN) / STD;
        }
        program.write("images", arena.allocateFrom(JAVA_FLOAT, one));
        program.run();
        logits[i] = program.read("logits");
      }
    }
    return logits;
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 10, 30})
  void countsWhatIsTakenForWhat(int classes) {
    TrainedNetwork network = network(classes);
    ImageSet set = images(classes);
    int[][] expected = new int[classes][classes];
    int right = 0;
    int amongFive = 0;
    double crossEntropy = 0;
    float[][] logits = logits(network, set);
    for (int i = 0; i < IMAGES; i++) {
      float[] row = logits[i];
      int label = set.label(i);
      int best = 0;
      int larger = 0;
      double total = 0;
      for (int c = 0; c < classes; c++) {
        best = row[c] > row[best] ? c : best;
        larger += row[c] > row[label] ? 1 : 0;
        total += Math.exp(row[c]);
      }
      expected[label][best]++;
      right += best == label ? 1 : 0;
      amongFive += larger < 5 ? 1 : 0;
      crossEntropy += Math.log(total) - row[label];
    }
    for (String device : new String[] {"reference", "cpu"}) {
      try (Backend backend = Devices.open(device)) {
        // 150 is no multiple of 64: the padding of the last batch must not count.
        int[] all = IntStream.range(0, IMAGES).toArray();
        Quality quality = Quality.of(backend, network, set, all, 64);
        String where = device + ", seed " + SEED;
        assertEquals(IMAGES, quality.images());
        assertEquals((double) right / IMAGES, quality.accuracy(), 1e-12, where);
        assertEquals(crossEntropy / IMAGES, quality.crossEntropy(), 1e-5, where);
        assertEquals(recalls(expected), quality.balancedAccuracy(), 1e-12, where);
        assertEquals(classes > 5, quality.topFive().isPresent());
        if (classes > 5) {
          assertEquals((double) amongFive / IMAGES, quality.topFive().getAsDouble(), 1e-12, where);
        }
        int[][] matrix = quality.matrix();
        for (int c = 0; c < classes; c++) {
          assertArrayEquals(expected[c], matrix[c], where + ", class " + c);
        }
        assertEquals(IMAGES, Arrays.stream(matrix).flatMapToInt(Arrays::stream).sum());
        JsonNode json = quality.json();
        int images = 0;
        for (JsonNode item : json.path("classes")) {
          images += item.path("images").asInt();
        }
        assertEquals(IMAGES, images);
        assertEquals(classes <= 20, quality.text().contains("taken for"));
        assertTrue(quality.text().contains(classes <= 20 ? "-" : "worst"), quality.text());
        assertTrue(
            quality.text().contains("1 of " + classes + " classes have no images here"),
            quality.text());
      }
    }
  }

  /** The mean share on the diagonal of rows that have images; the last has none. */
  private static double recalls(int[][] matrix) {
    double sum = 0;
    for (int c = 0; c < matrix.length - 1; c++) {
      sum += (double) matrix[c][c] / Arrays.stream(matrix[c]).sum();
    }
    return sum / (matrix.length - 1);
  }

  @Test
  void aDeadNetworkIsRightNowhere() {
    TrainedNetwork network = network(10, false);
    ImageSet set = images(10);
    for (float logit : logits(network, set)[0]) {
      assertEquals(0, logit);
    }
    for (String device : new String[] {"reference", "cpu"}) {
      try (Backend backend = Devices.open(device)) {
        Quality quality =
            Quality.of(backend, network, set, IntStream.range(0, IMAGES).toArray(), 64);
        assertEquals(0, quality.accuracy(), device);
        assertEquals(0, quality.balancedAccuracy(), device);
        assertEquals(0, quality.topFive().getAsDouble(), device);
        int[][] matrix = quality.matrix();
        for (int c = 0; c < 10; c++) {
          assertEquals(0, matrix[c][c], device);
        }
      }
    }
  }
}
