package io.fbnet.nas.endtoend;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.TensorInfo;
import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.engine.reference.ReferenceBackend;
import io.fbnet.nas.data.DataOptions;
import io.fbnet.nas.data.DataSource;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.ArchitectureGraphs;
import io.fbnet.nas.onnx.OnnxRuntime;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Train, import and export as a user types them, and ONNX Runtime on what comes out. */
class ModelCommandsIT {
  private static final int IMAGES = 7;

  @TempDir Path folder;
  private Fbnet fbnet;
  private Path model;

  @BeforeEach
  void prepare() {
    fbnet = new Fbnet(folder);
  }

  private void train() throws Exception {
    Path architecture = folder.resolve("net.json");
    Files.writeString(
        architecture,
        "{\"name\": \"tiny\", \"space\": \""
            + fbnet.tinySpace().getFileName()
            + "\", \"blocks\": [\"k3_e1_g2\", \"skip\", \"skip\", \"k5_e3\"]}");
    Path run = folder.resolve("run");
    model = run.resolve("model.safetensors");
    done(
        "train",
        architecture.toString(),
        "--data",
        "shapes",
        "--train-images",
        "480",
        "--epochs",
        "2",
        "--batch",
        "16",
        "--out",
        run.toString());
  }

  private static Fbnet.Outcome done(Fbnet.Outcome outcome) {
    assertEquals(0, outcome.code(), outcome.err());
    return outcome;
  }

  private Fbnet.Outcome done(String... arguments) {
    return done(fbnet.here(arguments));
  }

  private void refused(int code, String word, String... arguments) {
    Fbnet.Outcome outcome = fbnet.here(arguments);
    String what = List.of(arguments) + ": " + outcome.err();
    assertEquals(code, outcome.code(), what);
    assertTrue(outcome.err().lines().toList().getLast().contains(word), what);
    assertFalse(outcome.err().contains("\tat "), what);
    assertEquals("", outcome.out(), what);
  }

  @Test
  void aTrainedNetworkAnswersTheSameInOnnxRuntime() throws Exception {
    train();
    TrainedNetwork network = TrainedNetwork.read(model);
    assertEquals("shapes", network.data());
    assertTrue(network.testAccuracy().isPresent());
    float mean = network.normalisation().mean().getFirst();
    float std = network.normalisation().std().getFirst();
    float[] pixels = new float[IMAGES * 12 * 12];
    float[] normalised = new float[pixels.length];
    float[] expected;
    try (Dataset data =
            DataSource.open(
                DataOptions.of("shapes", new ImageShape(1, 12, 12)).withSeed(1).withOffline(true));
        Arena arena = Arena.ofConfined();
        Backend reference = new ReferenceBackend();
        ParameterStore store = network.store(reference);
        Program program =
            Program.compileFixed(
                reference, ArchitectureGraphs.inference(network.architecture(), IMAGES), store)) {
      assertEquals(data.classes(), network.classes());
      for (int i = 0; i < pixels.length; i++) {
        pixels[i] = (data.test().image(i / 144).get(JAVA_BYTE, i % 144) & 255) / 255f;
        normalised[i] = (pixels[i] - mean) / std;
      }
      program.write("images", arena.allocateFrom(JAVA_FLOAT, normalised));
      program.run();
      expected = program.read("logits");
    }
    String[][] flags = {
      {}, {"--fold-bn"}, {"--normalise"}, {"--fold-bn", "--normalise"}, {"--batch=" + IMAGES}
    };
    for (String[] given : flags) {
      Path file = folder.resolve("net" + String.join("", given) + ".onnx");
      List<String> arguments =
          new ArrayList<>(List.of("export", model.toString(), "--out", file.toString()));
      arguments.addAll(List.of(given));
      String[] export = arguments.toArray(String[]::new);
      done(given.length == 2 ? fbnet.run(export) : fbnet.here(export));
      boolean normalise = List.of(given).contains("--normalise");
      try (OnnxRuntime runtime = new OnnxRuntime(file)) {
        assertArrayEquals(
            expected, runtime.run(normalise ? pixels : normalised, IMAGES, 1, 12, 12), 1e-4f);
        assertEquals(normalise ? "0..1" : "normalised", runtime.properties().get("input"));
        TensorInfo input = (TensorInfo) runtime.session().getInputInfo().get("images").getInfo();
        boolean fixed = given.length == 1 && given[0].startsWith("--batch");
        assertEquals(fixed ? IMAGES : -1, input.getShape()[0]);
      }
    }
  }

  @Test
  void weightsComeBackBitForBit() throws Exception {
    train();
    Path copy = folder.resolve("copy.safetensors");
    done(fbnet.run("import", model.toString(), "--out", copy.toString()));
    assertEquals(-1, Files.mismatch(model, copy));

    TrainedNetwork network = TrainedNetwork.read(model);
    List<Tensor> tensors = new ArrayList<>();
    try (Safetensors.Reader reader = Safetensors.open(model)) {
      for (String name : reader.names()) {
        float[] values = network.tensors().get(name);
        tensors.add(
            new Tensor(name, Tensor.Type.F32, reader.shape(name), MemorySegment.ofArray(values)));
      }
    }
    Path bare = folder.resolve("bare.safetensors");
    Safetensors.write(bare, tensors, Map.of());
    Path architecture = folder.resolve("net.json");
    Fbnet.Outcome plain =
        done(
            "import",
            bare.toString(),
            "--architecture",
            architecture.toString(),
            "--out",
            copy.toString());
    assertTrue(plain.err().contains("no --mean and --std"), plain.err());
    assertEquals("9", TrainedNetwork.read(copy).classes().getLast());
    done(
        "import",
        bare.toString(),
        "--architecture",
        architecture.toString(),
        "--classes",
        String.join(",", network.classes()),
        "--mean=" + network.normalisation().mean().getFirst(),
        "--std=" + network.normalisation().std().getFirst(),
        "--trained-on",
        network.data(),
        "--out",
        copy.toString());
    TrainedNetwork back = TrainedNetwork.read(copy);
    assertEquals(network.normalisation(), back.normalisation());
    assertEquals(network.classes(), back.classes());
    network
        .tensors()
        .forEach(
            (name, values) ->
                assertEquals(
                    -1,
                    MemorySegment.ofArray(values)
                        .mismatch(MemorySegment.ofArray(back.tensors().get(name))),
                    name));

    String out = copy.toString();
    refused(2, "--architecture", "import", bare.toString(), "--out", out);
    refused(2, "go together", "import", model.toString(), "--mean", "0.5", "--out", out);
    refused(3, "layers.", "import", bare.toString(), "--architecture", "fbnet-a", "--out", out);
    refused(3, "classifier.weight", "import", model.toString(), "--classes", "a,b", "--out", out);
    refused(2, "1 channels", "import", model.toString(), "--mean=0,0", "--std=1,1", "--out", out);
    refused(3, "does not fit", "import", model.toString(), "--lut", "raspi4", "--out", out);
    refused(3, "fbnet import", "export", bare.toString(), "--out", out + ".onnx");
    refused(3, "there is no file", "export", "none.safetensors", "--out", out + ".onnx");
    refused(2, "--batch", "export", model.toString(), "--batch=0", "--out", out + ".onnx");
    refused(2, "--out", "export", model.toString());
    refused(5, "cannot write", "export", model.toString(), "--out", model + "/net.onnx");
    assertFalse(Files.exists(Path.of(out + ".onnx")));
  }

  @Test
  void theJarCarriesTheLibrariesOfLinuxAlone() throws Exception {
    try (ZipFile jar = new ZipFile(Fbnet.jar().toFile())) {
      List<String> libraries =
          jar.stream()
              .map(entry -> entry.getName())
              .filter(name -> name.startsWith("ai/onnxruntime/native/") && !name.endsWith("/"))
              .map(name -> name.replaceFirst("^ai/onnxruntime/native/", ""))
              .sorted()
              .toList();
      assertEquals(
          List.of(
              "linux-aarch64/libonnxruntime.so",
              "linux-aarch64/libonnxruntime4j_jni.so",
              "linux-x64/libonnxruntime.so",
              "linux-x64/libonnxruntime4j_jni.so"),
          libraries);
    }
  }
}
