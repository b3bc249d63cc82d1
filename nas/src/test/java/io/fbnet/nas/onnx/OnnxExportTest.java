package io.fbnet.nas.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OrtException;
import ai.onnxruntime.TensorInfo;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OnnxExportTest {
  private static final float TOLERANCE = 1e-4f;

  @TempDir Path folder;
  private final Backend reference = new ReferenceBackend();

  private static OnnxExport.Options options(boolean fold) {
    return new OnnxExport.Options(
        "test", fold, Optional.empty(), Optional.empty(), OptionalInt.empty(), new TreeMap<>());
  }

  private static float[] noise(int length) {
    Random random = new Random(5);
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Compares a graph with its file, with drawn parameters; returns the file as text. */
  private String check(Graph graph, boolean fold) throws OrtException, IOException {
    Path file = folder.resolve("graph.onnx");
    Value input =
        graph.storage().keySet().stream()
            .filter(v -> v.name().equals("x") || v.name().equals("images"))
            .findFirst()
            .orElseThrow();
    float[] x = noise((int) input.shape().elements());
    try (ParameterStore store = new ParameterStore(reference, graph.parameters())) {
      store.initialise(3);
      Networks.perturb(store, 3, 1);
      OnnxExport.write(graph, ParameterValues.of(store), options(fold), file);
      long[] shape = new long[input.shape().rank()];
      for (int i = 0; i < shape.length; i++) {
        shape[i] = input.shape().get(i);
      }
      try (OnnxRuntime runtime = new OnnxRuntime(file)) {
        assertArrayEquals(
            Networks.run(reference, graph, store, x), runtime.run(x, shape), TOLERANCE);
      }
    }
    return Files.readString(file, StandardCharsets.ISO_8859_1);
  }

  @Test
  void everyBlockStemAndHeadAlone() throws Exception {
    for (boolean alwaysPw : new boolean[] {true, false}) {
      SearchSpace space = Networks.space(3, 19, 22, alwaysPw);
      for (boolean fold : new boolean[] {true, false}) {
        check(ArchitectureGraphs.stem(space, 2), fold);
        check(ArchitectureGraphs.head(space, 2), fold);
        for (LayerSpec layer : space.layers()) {
          for (Block block : space.blocks()) {
            String file = check(ArchitectureGraphs.block(space, layer, block, 2), fold);
            assertEquals(
                !fold && !(block.isSkip() && layer.keepsShape()),
                file.contains("BatchNormalization"));
          }
        }
      }
    }
  }

  /** Parts of a graph that no FBNet block has. */
  private static final class Custom {
    final GraphBuilder b = new GraphBuilder();
    final Value x = b.input("x", Type.F32, 3, 4, 5, 6);

    Value weights(String name, int out, int in, int kernel) {
      return b.parameter("weights", name, true, new Initial.Normal(0.4), out, in, kernel, kernel);
    }

    Value vector(String name, int length) {
      return b.parameter("weights", name, false, new Initial.Constant(1), length);
    }

    Value norm(Value of, String name, boolean relu) {
      int c = of.shape().get(1);
      return b.batchNormInference(
          of,
          vector(name + ".weight", c),
          vector(name + ".bias", c),
          vector(name + ".running_mean", c),
          vector(name + ".running_var", c),
          1e-3f,
          relu);
    }

    Graph with(Value y) {
      b.output("y", y);
      return b.build();
    }
  }

  @Test
  void blocksOfAnyKind() throws Exception {
    Custom c = new Custom();
    Value shared = c.weights("shared.weight", 4, 2, 3);
    Value a = c.norm(c.b.convolution(c.x, shared, 1, 2), "a", true);
    Value raw = c.b.convolution(a, shared, 1, 2);
    // A convolution read twice is not folded, nor is a batch norm that no convolution precedes.
    Value sum = c.b.sum(List.of(raw, c.norm(raw, "b", false), c.norm(c.x, "c", true), c.x));
    Value y = c.b.globalPool(c.b.channelShuffle(c.b.sum(List.of(sum, sum)), 4));
    Graph graph = c.with(c.b.linear(y, head(c), c.vector("fc.bias", 3)));
    check(graph, false);
    String folded = check(graph, true);
    assertTrue(folded.contains("BatchNormalization"));
    assertTrue(folded.contains("shared.weight_2"), "the same weights, folded and not");
  }

  private static Value head(Custom c) {
    return c.b.parameter("weights", "fc.weight", true, new Initial.Normal(0.3), 3, 4);
  }

  @Test
  void aConvolutionThatIsAnOutputIsNotFolded() throws Exception {
    Custom c = new Custom();
    Value conv = c.b.convolution(c.x, c.weights("w", 4, 4, 1), 2, 1);
    Value norm = c.norm(conv, "n", false);
    c.b.output("between", conv);
    Path file = folder.resolve("two.onnx");
    Graph graph = c.with(norm);
    try (ParameterStore store = new ParameterStore(reference, graph.parameters())) {
      store.initialise(1);
      OnnxExport.write(graph, ParameterValues.of(store), options(true), file);
    }
    try (OnnxRuntime runtime = new OnnxRuntime(file)) {
      assertEquals(2, runtime.session().getOutputNames().size());
    }
    assertTrue(Files.readString(file, StandardCharsets.ISO_8859_1).contains("BatchNormalization"));
  }

  @Test
  void inputsAndOutputsHaveABatchOfAnyLength() throws Exception {
    SearchSpace space = Networks.space(3, 19, 22, true);
    Path file = folder.resolve("stem.onnx");
    Graph graph = ArchitectureGraphs.stem(space, 5);
    try (ParameterStore store = new ParameterStore(reference, graph.parameters())) {
      store.initialise(1);
      OnnxExport.write(graph, ParameterValues.of(store), options(false), file);
    }
    try (OnnxRuntime runtime = new OnnxRuntime(file)) {
      TensorInfo in = (TensorInfo) runtime.session().getInputInfo().get("images").getInfo();
      assertArrayEquals(new long[] {-1, 3, 19, 22}, in.getShape());
      assertArrayEquals(new String[] {"batch", "", "", ""}, in.getDimensionNames());
      TensorInfo out = (TensorInfo) runtime.session().getOutputInfo().get("y").getInfo();
      assertArrayEquals(new long[] {-1, 8, 10, 11}, out.getShape());
      assertEquals("batch", out.getDimensionNames()[0]);
    }
  }

  @Test
  void aFixedBatchLeavesNoShapeOpen() throws Exception {
    Custom c = new Custom();
    Value shuffled = c.b.channelShuffle(c.x, 2);
    Value logits = c.b.linear(c.b.globalPool(shuffled), head(c), c.vector("fc.bias", 3));
    c.b.output("shuffled", shuffled);
    Graph graph = c.with(logits);
    Path file = folder.resolve("fixed.onnx");
    for (int batch : new int[] {0, 2}) {
      OptionalInt given = batch == 0 ? OptionalInt.empty() : OptionalInt.of(batch);
      try (ParameterStore store = new ParameterStore(reference, graph.parameters())) {
        store.initialise(1);
        OnnxExport.Options options =
            new OnnxExport.Options(
                "test", false, Optional.empty(), Optional.empty(), given, new TreeMap<>());
        OnnxExport.write(graph, ParameterValues.of(store), options, file);
      }
      // Four dimensions, of which the first is kept by a 0 unless it is known.
      assertEquals(
          List.of(List.of((long) batch, 2L, 2L, 30L), List.of((long) batch, 4L, 5L, 6L)),
          integers(file));
      try (OnnxRuntime runtime = new OnnxRuntime(file)) {
        long first = batch == 0 ? -1 : batch;
        TensorInfo in = (TensorInfo) runtime.session().getInputInfo().get("x").getInfo();
        assertArrayEquals(new long[] {first, 4, 5, 6}, in.getShape());
        TensorInfo out = (TensorInfo) runtime.session().getOutputInfo().get("y").getInfo();
        assertArrayEquals(new long[] {first, 3}, out.getShape());
        assertEquals(2 * 4 * 5 * 6, runtime.run(noise(2 * 4 * 5 * 6), 2, 4, 5, 6).length);
        if (batch == 0) {
          assertEquals(3 * 4 * 5 * 6, runtime.run(noise(3 * 4 * 5 * 6), 3, 4, 5, 6).length);
        } else {
          assertThrows(OrtException.class, () -> runtime.run(noise(3 * 4 * 5 * 6), 3, 4, 5, 6));
        }
      }
    }
    assertThrows(
        IllegalArgumentException.class,
        () ->
            new OnnxExport.Options(
                "test",
                false,
                Optional.empty(),
                Optional.empty(),
                OptionalInt.of(0),
                new TreeMap<>()));
  }

  /** All constant vectors of 64-bit integers in a file, which are what Reshape takes. */
  private static List<List<Long>> integers(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    List<List<Long>> found = new ArrayList<>();
    for (int i = 0; i + 6 < bytes.length; i++) {
      // One dimension (field 1), type INT64 (field 2), a name (field 8), raw numbers (field 9).
      int raw = i + 6 + bytes[i + 5];
      if (bytes[i] == 0x08
          && bytes[i + 2] == 0x10
          && bytes[i + 3] == 7
          && bytes[i + 4] == 0x42
          && bytes[i + 5] > 0
          && bytes[raw] == 0x4a
          && bytes[raw + 1] == Long.BYTES * bytes[i + 1]) {
        LongBuffer numbers =
            ByteBuffer.wrap(bytes, raw + 2, bytes[raw + 1])
                .order(ByteOrder.LITTLE_ENDIAN)
                .asLongBuffer();
        List<Long> vector = new ArrayList<>();
        while (numbers.hasRemaining()) {
          vector.add(numbers.get());
        }
        found.add(vector);
      }
    }
    return found;
  }

  @Test
  void propertiesSayWhatANetworkIs() throws Exception {
    Architecture network =
        Networks.architecture(
            Networks.space(1, 28, 28, true), "k3_e1", "skip", "k3_e3", "skip", "skip", "k5_e1_g2");
    try (Dataset data = RealImages.open(new ImageShape(1, 28, 28), folder)) {
      TrainedNetwork trained = Networks.drawn(reference, network, data, 1);
      Path file = folder.resolve("net.onnx");
      OnnxExport.write(trained, true, true, OptionalInt.empty(), file);
      byte[] once = Files.readAllBytes(file);
      OnnxExport.write(trained, true, true, OptionalInt.empty(), file);
      assertArrayEquals(once, Files.readAllBytes(file));
      try (OnnxRuntime runtime = new OnnxRuntime(file)) {
        Map<String, String> properties = runtime.properties();
        assertEquals(
            network,
            Architecture.parse("the file", properties.get("architecture")),
            properties.toString());
        ObjectMapper json = new ObjectMapper();
        assertEquals(
            trained.classes(), List.of(json.readValue(properties.get("classes"), String[].class)));
        assertEquals(
            trained.normalisation(),
            Normalisation.of(
                json.readValue(properties.get("mean"), float[].class),
                json.readValue(properties.get("std"), float[].class)));
        assertEquals("0..1", properties.get("input"));
        assertEquals(data.name(), properties.get("data"));
        assertEquals("box", properties.get("latency_device"));
        assertEquals("1.25", properties.get("latency_ms"));
        assertEquals("box.json", properties.get("latency_table"));
        assertEquals("0.5", properties.get("test_accuracy"));
        assertEquals("fbnet-engine", runtime.session().getMetadata().getProducerName());
        assertEquals("small", runtime.session().getMetadata().getGraphName());
      }
      OnnxExport.write(trained, false, false, OptionalInt.empty(), file);
      try (OnnxRuntime runtime = new OnnxRuntime(file)) {
        assertEquals("normalised", runtime.properties().get("input"));
      }
    }
  }

  @Test
  void whatHasNoTranslationIsRefused() {
    Architecture network = Architecture.load("fbnet-a");
    refused(ArchitectureGraphs.evaluation(network, 2, Normalisation.none(3)), "images", "U8");
    Custom training = new Custom();
    Value four = training.vector("four", 4);
    refused(
        training.with(training.b.batchNorm(training.x, four, four, four, four, null, 1e-3f, false)),
        "BatchNorm",
        "for inference");
    Custom c = new Custom();
    refused(c.with(c.b.mean(c.x)), "operation Mean");
    Custom computed = new Custom();
    Value w = computed.weights("w", 4, 4, 1);
    Value doubled = computed.b.sum(List.of(w, w));
    refused(computed.with(computed.b.convolution(computed.x, doubled, 1, 1)), "w[4, 4, 1, 1]");
    Custom same = new Custom();
    same.b.output("x", same.norm(same.x, "n", false));
    refused(same.b.build(), "two inputs or outputs 'x'");
    Custom none = new Custom();
    refused(none.with(none.weights("w", 4, 4, 1)), "output 'y'");
    Custom batches = new Custom();
    Value other = batches.b.input("z", Type.F32, 2, 4, 5, 6);
    refused(batches.with(batches.norm(other, "n", false)), "one batch");
    Custom colour = new Custom();
    Path file = folder.resolve("no.onnx");
    OnnxExport.Options normalised =
        new OnnxExport.Options(
            "n",
            false,
            Optional.of(Normalisation.none(3)),
            Optional.empty(),
            OptionalInt.empty(),
            new TreeMap<>());
    Refusals.data(
        () -> OnnxExport.write(colour.with(colour.x), (set, name) -> null, normalised, file),
        "x[3, 4, 5, 6]",
        "3 channels");
    assertFalse(Files.exists(file));
  }

  private void refused(Graph graph, String... words) {
    Path file = folder.resolve("no.onnx");
    try (ParameterStore store = new ParameterStore(reference, graph.parameters())) {
      Refusals.data(
          () -> OnnxExport.write(graph, ParameterValues.of(store), options(true), file), words);
    }
    assertFalse(Files.exists(file));
  }
}
