package io.fbnet.nas.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainedNetworkTest {
  @TempDir Path folder;

  private static Architecture architecture() {
    SearchSpace space =
        new SearchSpace(
            "mine",
            new SearchSpace.Input(3, 9, 12),
            4,
            new SearchSpace.Stem(4, 1),
            List.of(new SearchSpace.Stage(4, 1, 1), new SearchSpace.Stage(6, 1, 2)),
            8,
            BlockType.FBNET,
            true);
    return new Architecture(
        "two", space, List.of(BlockType.parse("k3_e1_g2"), BlockType.parse("skip")));
  }

  private static Map<String, float[]> tensors(Architecture architecture) {
    Random random = new Random(2);
    Map<String, float[]> tensors = new LinkedHashMap<>();
    for (ParameterSpec spec : TrainedNetwork.parameters(architecture)) {
      float[] values = new float[(int) spec.shape().elements()];
      for (int i = 0; i < values.length; i++) {
        values[i] = spec.name().endsWith("var") ? random.nextFloat() : random.nextFloat() - 0.5f;
      }
      tensors.put(spec.name(), values);
    }
    tensors.get("stem.conv.weight")[0] = -0f;
    tensors.get("stem.conv.weight")[1] = Float.MIN_VALUE;
    tensors.get("stem.conv.weight")[2] = Float.MAX_VALUE;
    return tensors;
  }

  private static TrainedNetwork network() {
    return new TrainedNetwork(
        architecture(),
        tensors(architecture()),
        Normalisation.of(
            new float[] {0.1f, -0.2f, Float.MIN_VALUE},
            new float[] {1 / 3f, 1e-7f, Float.MIN_NORMAL}),
        List.of("hare", "\u00e9t\u00e9, \"quoted\"", "1", "zebra"),
        "photos",
        Optional.of(new TrainedNetwork.Latency("a box", 0.1 + 0.2, "box.json")),
        OptionalDouble.of(1 / 3.0));
  }

  @Test
  void noFolderOfATableTravelsWithAModel() {
    assertEquals("box.json", new TrainedNetwork.Latency("a box", 1, "/home/me/box.json").table());
    assertEquals("raspi4", new TrainedNetwork.Latency("a box", 1, "raspi4").table());
  }

  @Test
  void aFileHoldsAllOfANetwork() throws IOException {
    TrainedNetwork network = network();
    Path file = folder.resolve("sub").resolve("m.safetensors");
    network.write(file);
    assertTrue(TrainedNetwork.isModel(file));
    TrainedNetwork read = TrainedNetwork.read(file);
    assertEquals(network.architecture(), read.architecture());
    assertEquals(network.normalisation(), read.normalisation());
    assertEquals(network.classes(), read.classes());
    assertEquals(network.data(), read.data());
    assertEquals(network.latency(), read.latency());
    assertEquals(network.testAccuracy(), read.testAccuracy());
    assertEquals(List.copyOf(network.tensors().keySet()), List.copyOf(read.tensors().keySet()));
    network.tensors().forEach((name, values) -> assertSameBits(values, read.tensors().get(name)));
    Path again = folder.resolve("again.safetensors");
    read.write(again);
    assertArrayEquals(Files.readAllBytes(file), Files.readAllBytes(again));
  }

  private static void assertSameBits(float[] a, float[] b) {
    assertEquals(MemorySegment.ofArray(a).mismatch(MemorySegment.ofArray(b)), -1);
  }

  @Test
  void whatIsUnknownIsLeftOut() {
    TrainedNetwork full = network();
    TrainedNetwork bare =
        new TrainedNetwork(
            full.architecture(),
            full.tensors(),
            full.normalisation(),
            full.classes(),
            "",
            Optional.empty(),
            OptionalDouble.empty());
    Path file = folder.resolve("m.safetensors");
    bare.write(file);
    TrainedNetwork read = TrainedNetwork.read(file);
    assertEquals("", read.data());
    assertEquals(Optional.empty(), read.latency());
    assertEquals(OptionalDouble.empty(), read.testAccuracy());
  }

  @Test
  void aStoreHoldsTheSameNumbers() {
    TrainedNetwork network = network();
    try (ReferenceBackend backend = new ReferenceBackend();
        ParameterStore store = network.store(backend)) {
      Map<String, float[]> back = TrainedNetwork.tensors(network.architecture(), store);
      network.tensors().forEach((name, values) -> assertSameBits(values, back.get(name)));
    }
  }

  @Test
  void partsThatDoNotFitAreNoNetwork() {
    TrainedNetwork good = network();
    Map<String, float[]> fewer = new LinkedHashMap<>(good.tensors());
    fewer.remove("head.bn.bias");
    assertNot(good, fewer, good.normalisation(), good.classes(), "head.bn.bias");
    Map<String, float[]> more = new LinkedHashMap<>(good.tensors());
    more.put("extra", new float[1]);
    assertNot(good, more, good.normalisation(), good.classes(), "tensors");
    assertNot(good, good.tensors(), Normalisation.none(1), good.classes(), "channels");
    assertNot(good, good.tensors(), good.normalisation(), List.of("a", "b"), "classes");
    assertNot(good, good.tensors(), good.normalisation(), List.of("a", " ", "b", "c"), "empty");
    assertThrows(
        IllegalArgumentException.class, () -> Normalisation.of(new float[] {0}, new float[] {0}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Normalisation.of(new float[] {Float.NaN}, new float[] {1}));
    assertThrows(
        IllegalArgumentException.class, () -> new Normalisation(List.of(0f), List.of(1f, 1f)));
  }

  private static void assertNot(
      TrainedNetwork like,
      Map<String, float[]> tensors,
      Normalisation normalisation,
      List<String> classes,
      String word) {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                new TrainedNetwork(
                    like.architecture(),
                    tensors,
                    normalisation,
                    classes,
                    "",
                    Optional.empty(),
                    OptionalDouble.empty()));
    assertTrue(e.getMessage().contains(word), e.getMessage());
  }

  /** A file with the network's tensors and metadata, changed. */
  private final class Changed {
    final Map<String, Tensor> tensors = new LinkedHashMap<>();
    final Map<String, String> metadata = new LinkedHashMap<>();

    Changed() {
      Path file = folder.resolve("good.safetensors");
      network().write(file);
      try (Safetensors.Reader reader = Safetensors.open(file)) {
        metadata.putAll(reader.metadata());
      }
      for (ParameterSpec spec : TrainedNetwork.parameters(architecture())) {
        put(
            spec.name(),
            network().tensors().get(spec.name()),
            LongStream.range(0, spec.shape().rank()).map(i -> spec.shape().get((int) i)).toArray());
      }
    }

    void put(String name, float[] values, long... shape) {
      tensors.put(name, Tensor.of(name, Tensor.Type.F32, MemorySegment.ofArray(values), shape));
    }

    Path write() throws IOException {
      Path file = folder.resolve("changed.safetensors");
      Safetensors.write(file, new ArrayList<>(tensors.values()), metadata);
      return file;
    }

    void refused(String... words) throws IOException {
      Path file = write();
      String sentence = Refusals.data(() -> TrainedNetwork.read(file), words);
      assertTrue(sentence.contains(file.toString()), sentence);
    }
  }

  @Test
  void wrongTensorsAreNamed() throws IOException {
    assertEquals(4, TrainedNetwork.read(new Changed().write()).classes().size());

    Changed missing = new Changed();
    missing.tensors.remove("layers.0.k3_e1_g2.depthwise.weight");
    missing.refused("holds no tensor 'layers.0.k3_e1_g2.depthwise.weight'");
    missing.tensors.remove("head.bn.running_var");
    missing.tensors.remove("head.bn.running_mean");
    missing.refused("(and 2 others)");

    Changed misspelt = new Changed();
    misspelt.tensors.remove("stem.bn.running_mean");
    misspelt.put("stem.bn.runing_mean", new float[4], 4);
    misspelt.refused("'stem.bn.running_mean'", "is it the 'stem.bn.runing_mean'?");

    Changed extra = new Changed();
    extra.put("layers.1.k3_e1.expand.weight", new float[1], 1);
    extra.refused("'layers.1.k3_e1.expand.weight'", "no place");

    Changed shape = new Changed();
    shape.put("classifier.weight", new float[32], 8, 4);
    shape.refused("'classifier.weight' is F32 [8, 4]", "F32 [4, 8]");

    Changed type = new Changed();
    MemorySegment doubles = MemorySegment.ofArray(new double[4]);
    type.tensors.put("classifier.bias", Tensor.of("classifier.bias", Tensor.Type.F64, doubles, 4));
    type.refused("'classifier.bias' is F64 [4]");

    Changed infinite = new Changed();
    float[] values = new float[4];
    Arrays.fill(values, Float.NaN);
    infinite.put("classifier.bias", values, 4);
    infinite.refused("'classifier.bias' holds NaN");

    Changed negative = new Changed();
    negative.put("stem.bn.running_var", new float[] {1, 1, -1e-9f, 1}, 4);
    negative.refused("'stem.bn.running_var' holds -1.0E-9", "variance");
  }

  @Test
  void wrongMetadataIsNamed() throws IOException {
    metadata("fbnet_format", "2", "fbnet_format", "update the program");
    metadata("fbnet_format", "one", "not valid JSON");
    metadata("clases", "[]", "'clases'", "did you mean 'classes'");
    for (String key : List.of("architecture", "classes", "mean", "std")) {
      metadata(key, null, "lacks the metadata '" + key + "'");
    }
    metadata("architecture", "{\"space\": \"fashion\"}", "'architecture'", "blocks");
    metadata("architecture", "{\"space\": \"pom.xml\", \"blocks\": []}", "written out in full");
    metadata("classes", "[\"a\", \"b\", \"c\", 4]", "'classes'", "must be a text");
    metadata("classes", "[\"a\", \"b\"]", "2 classes are named");
    metadata("mean", "[0, 0]", "mean and std", "2");
    metadata("std", "[1, 1, -1]", "above 0");
    metadata("std", "[1, 1, 1e-200]", "above 0");
    metadata("std", "[1, 1, 1e200]", "'std'", "between");
    metadata("latency", "{\"device\": \"x\", \"ms\": -1, \"table\": \"t\"}", "'ms'");
    metadata("latency", "{\"device\": \"x\", \"ms\": 1}", "'table'");
    metadata("test_accuracy", "1.5", "'test_accuracy'", "between");
    metadata("fbnet_format", null, "no architecture", "fbnet import");
  }

  private void metadata(String key, String text, String... words) throws IOException {
    Changed changed = new Changed();
    if (text == null) {
      changed.metadata.remove(key);
    } else {
      changed.metadata.put(key, text);
    }
    changed.refused(words);
  }

  @Test
  void bareWeightsNeedNoMetadata() throws IOException {
    Changed bare = new Changed();
    bare.metadata.clear();
    bare.metadata.put("format", "pt");
    Path file = bare.write();
    assertFalse(TrainedNetwork.isModel(file));
    List<String> notes = new ArrayList<>();
    Map<String, float[]> read = TrainedNetwork.weights(file, architecture(), notes::add);
    network().tensors().forEach((name, values) -> assertSameBits(values, read.get(name)));
    assertEquals(List.of(), notes);
    MemorySegment count = MemorySegment.ofArray(new long[] {9});
    String counter = "stem.bn.num_batches_tracked";
    bare.tensors.put(counter, Tensor.of(counter, Tensor.Type.I64, count));
    assertEquals(
        read.keySet(), TrainedNetwork.weights(bare.write(), architecture(), notes::add).keySet());
    assertEquals(1, notes.size());
    bare.put("other", new float[1], 1);
    Path wrong = bare.write();
    Refusals.data(
        () -> TrainedNetwork.weights(wrong, architecture(), notes::add), "'other'", "no place");
  }

  @Test
  void filesThatAreNoModelAtAll() throws IOException {
    Refusals.data(() -> TrainedNetwork.read(folder.resolve("none")), "there is no file");
    Path text = Files.writeString(folder.resolve("text"), "{\"space\": \"fashion\"}");
    Refusals.data(() -> TrainedNetwork.read(text), "no safetensors file");
    Path file = folder.resolve("m.safetensors");
    network().write(file);
    byte[] bytes = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(bytes, bytes.length - 1));
    Refusals.data(() -> TrainedNetwork.read(file), file.toString());
    Path blocked = Files.writeString(folder.resolve("plain"), "").resolve("m.safetensors");
    Refusals.refused(ExitCode.STORAGE, () -> network().write(blocked), "m.safetensors");
  }
}
