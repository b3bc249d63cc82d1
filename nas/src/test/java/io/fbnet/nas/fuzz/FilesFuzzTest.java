package io.fbnet.nas.fuzz;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.file.Sha256;
import io.fbnet.nas.fuzz.Fuzz.Target;
import io.fbnet.nas.kit.Kit;
import io.fbnet.nas.kit.KitResult;
import io.fbnet.nas.latency.Fingerprint;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.latency.TableExport;
import io.fbnet.nas.latency.TableExport.Format;
import io.fbnet.nas.latency.TableImport;
import io.fbnet.nas.model.TrainedNetwork;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.report.Report;
import io.fbnet.nas.run.Checkpoints;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.run.Safetensors;
import io.fbnet.nas.run.Tensor;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Spaces, architectures, tables, kits, tensors and run folders that are damaged in many ways. */
class FilesFuzzTest {
  private static final long MIB = 1 << 20;

  /**
   * What a parsed text may cost for each of its bytes. A list of the shortest scalars in YAML costs
   * most: a token, an event and a node with two marks for four bytes, 300 bytes a byte at most.
   */
  private static final long TEXT = 400;

  private static final SearchSpace SPACE =
      new SearchSpace(
          "tiny",
          new SearchSpace.Input(3, 9, 7),
          4,
          new SearchSpace.Stem(4, 2),
          List.of(new SearchSpace.Stage(4, 2, 1), new SearchSpace.Stage(6, 1, 2)),
          8,
          List.of(BlockType.parse("k3_e3"), BlockType.parse("k5_e6"), BlockType.SKIP),
          false);

  @TempDir Path folder;

  @TestFactory
  Stream<DynamicTest> fewOfEachReader() throws IOException {
    return Fuzz.fewOf(targets().stream());
  }

  @Tag("full")
  @Tag("sweep")
  @TestFactory
  Stream<DynamicTest> manyOfEachReader() throws IOException {
    return Fuzz.manyOf(targets().stream());
  }

  private List<Target> targets() throws IOException {
    List<Target> targets = new ArrayList<>();
    targets.add(text("space", "space.yaml", spaces(), this::readSpace));
    targets.add(text("architecture", "net.json", architectures(), this::readArchitecture));
    targets.add(text("latency table", "table.json", tables(), this::readTable));
    targets.add(
        text("fitted table", "fit.json", List.of(exported(Format.JSON)), this::importTable));
    targets.add(
        text(
            "ProxylessNAS table",
            "t.yaml",
            List.of(exported(Format.PROXYLESS)),
            this::importTable));
    targets.add(text("rows of numbers", "rows.txt", rows(), this::importTable));
    targets.add(kitResult());
    targets.add(kitManifest());
    targets.add(tensors("safetensors", "any.safetensors", tensorFiles(), this::readTensors));
    targets.add(tensors("model", "model.safetensors", models(), this::readModel));
    targets.add(checkpoint("manifest.json"));
    targets.add(checkpoint("weights.safetensors"));
    targets.add(text("metrics", "metrics.jsonl", List.of(metrics()), MetricsLog::read));
    targets.add(text("samples", "samples.json", List.of(samples()), SamplesFile::read));
    targets.add(report("metrics.jsonl"));
    return targets;
  }

  private Target text(String name, String file, List<String> valid, Fuzz.Reader reader) {
    return new Target(
        name,
        folder.resolve(file),
        folder.resolve(file).getParent(),
        new TextMutator(valid),
        reader,
        null,
        2 * MIB,
        TEXT);
  }

  private Target tensors(String name, String file, List<byte[]> valid, Fuzz.Reader reader) {
    return new Target(
        name,
        folder.resolve(file),
        folder.resolve(file),
        new TensorsMutator(valid),
        reader,
        null,
        2 * MIB,
        TEXT);
  }

  private List<String> spaces() throws IOException {
    Path file = folder.resolve("written.yaml");
    SPACE.withSkips(SearchSpace.SkipRule.NOT_FIRST).write(file);
    return List.of(
        """
        format: 1                 # optional
        name: fashion
        input: {channels: 1, height: 28, width: 28}
        classes: 10
        stem: {width: 16, stride: 2}
        stages:
          - {width: 16, layers: 1, stride: 1}
          - width: 24
            layers: 3
            stride: 2
        head: 256
        blocks: [k3_e1, 'k3_e1_g2', "k3_e3", skip]
        always_pw: true
        skips: everywhere
        """,
        Files.readString(file));
  }

  private void readSpace(Path file) throws IOException {
    SearchSpace space = SearchSpace.load(file.toString());
    Path copy = folder.resolve("copy.yaml");
    space.write(copy);
    same(space, SearchSpace.load(copy.toString()));
  }

  private static List<String> architectures() {
    return List.of(
        Architecture.of("mine", SPACE, new int[] {0, 2, 1}).json().toPrettyString(),
        Architecture.load("fbnet-a").json().toString());
  }

  private void readArchitecture(Path file) {
    Architecture read = Architecture.load(file.toString());
    same(read, Architecture.parse(file.toString(), read.json().toString()));
    for (Description.Layer layer : Description.of(read).layers()) {
      if (layer.macs() < 0 || layer.parameters() < 0) {
        throw new AssertionError("counts beyond a long: " + layer);
      }
    }
  }

  private static LatencyTable table(boolean relative) {
    return LatencyTable.builder("box", SPACE)
        .fixed(0.25)
        .layers(new double[][] {{1, 2, 0}, {1.5, 2e-3, 0}, {3, 4, 0.5}})
        .fixedSpread(0.1)
        .yardstick(7)
        .spread(new double[][] {{0.1, 0, 0}, {0, 0.2, 0}, {0, 0, 0.3}})
        .relative(relative)
        .origin("a test")
        .fingerprint(Fingerprint.of("chip", 2, Map.of("lib", "1"), "f32", 4, "2026-01-01"))
        .build();
  }

  private static List<String> tables() {
    return List.of(table(false).json().toPrettyString(), table(true).json().toString());
  }

  private void readTable(Path file) {
    rewritten(LatencyTable.load(file.toString()));
  }

  /** What was read can be written, read again, and shown. */
  private void rewritten(LatencyTable table) {
    Path copy = folder.resolve("copy.json");
    table.write(copy);
    same(table.json(), LatencyTable.load(copy.toString()).json());
    same(false, table.text().isEmpty());
  }

  private String exported(Format format) throws IOException {
    Path file = folder.resolve("exported");
    TableExport.write(table(false), format, Optional.of(SPACE), note -> {}, file);
    return Files.readString(file);
  }

  private List<String> rows() throws IOException {
    return List.of(
        exported(Format.TEXT),
        """
        device box
        unit us
        fixed 12.5
        layer_id;skip;k3_e3;k5_e6
        2;0;1,5;2,5
        1;0;3,5;4,5
        3;0,5;1;2
        """,
        "unit ms\nfixed 1\ndevice b\nL1 1 2 3\nL2 4e-3 5 6\nL3 7 8 9 # last\n");
  }

  private void importTable(Path file) {
    TableImport.Request request =
        new TableImport.Request(
            Optional.of(SPACE),
            Optional.empty(),
            OptionalDouble.of(1),
            Optional.of("box"),
            OptionalInt.empty(),
            false,
            note -> {});
    rewritten(TableImport.read(file, request));
  }

  private Path kit() {
    Path kit = folder.resolve("kit");
    if (!Files.exists(kit)) {
      Kit.write(SPACE, 1, false, kit, (done, total, what) -> {});
    }
    return kit;
  }

  private static ObjectNode result(Path kit) throws IOException {
    ObjectMapper json = new ObjectMapper();
    byte[] manifest = Files.readAllBytes(kit.resolve("manifest.json"));
    ObjectNode result = json.createObjectNode();
    result.put("format", 1).put("kind", "fbnet-latency-result").put("kit", "kit");
    result.put("kit_sha256", Sha256.hex(manifest)).put("device", "box").put("processor", "chip");
    result.put("runtime", "onnxruntime").put("version", "9").put("provider", "P");
    result.put("threads", 2).put("date", "2026-01-01").put("runner", "test");
    ArrayNode times = result.putArray("times");
    for (var file : json.readTree(manifest).path("files")) {
      times
          .addObject()
          .put("name", file.path("name").asText())
          .put("median_ms", 1.5 + times.size())
          .put("spread", 0.25)
          .put("runs", 9);
    }
    return result;
  }

  private Target kitResult() throws IOException {
    return text(
        "kit result",
        "result.json",
        List.of(result(kit()).toPrettyString()),
        file -> rewritten(KitResult.table(file, null, warning -> {})));
  }

  private Target kitManifest() throws IOException {
    Path kit = folder.resolve("damaged-kit");
    Files.createDirectories(kit);
    Path manifest = kit.resolve("manifest.json");
    ObjectNode result = result(kit());
    return text(
        "kit manifest",
        kit.getFileName() + "/manifest.json",
        List.of(Files.readString(kit().resolve("manifest.json"))),
        file -> {
          result.put("kit_sha256", Sha256.hex(Files.readAllBytes(manifest)));
          Path results = kit.resolve("result.json");
          Files.writeString(results, result.toString());
          rewritten(KitResult.table(results, kit, warning -> {}));
        });
  }

  private static Tensor tensor(String name, Tensor.Type type, long... shape) {
    long bytes = type.bytes() * Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    byte[] data = new byte[(int) bytes];
    new Random(1).nextBytes(data);
    return Tensor.of(name, type, MemorySegment.ofArray(data), shape);
  }

  private List<byte[]> tensorFiles() throws IOException {
    Path file = folder.resolve("written.safetensors");
    Safetensors.write(
        file,
        List.of(
            tensor("w", Tensor.Type.F32, 2, 3),
            tensor("d", Tensor.Type.F64, 2),
            tensor("none", Tensor.Type.I64, 0, 5),
            tensor("\u00e9", Tensor.Type.U8)),
        Map.of("who", "me", "why", "{\"a\": 1}"));
    return List.of(Files.readAllBytes(file));
  }

  private void readTensors(Path file) {
    try (Safetensors.Reader reader = Safetensors.open(file);
        Arena arena = Arena.ofConfined()) {
      for (String name : reader.names()) {
        long elements = reader.shape(name).stream().reduce(1L, (a, b) -> a * b);
        reader.read(name, arena.allocate(elements * reader.type(name).bytes()));
      }
      same(false, reader.names().contains("__metadata__"));
    }
  }

  private static TrainedNetwork network() {
    Architecture architecture = Architecture.of("two", SPACE, new int[] {0, 2, 2});
    Random random = new Random(2);
    Map<String, float[]> tensors = new LinkedHashMap<>();
    for (ParameterSpec spec : TrainedNetwork.parameters(architecture)) {
      float[] values = new float[(int) spec.shape().elements()];
      for (int i = 0; i < values.length; i++) {
        values[i] = random.nextFloat();
      }
      tensors.put(spec.name(), values);
    }
    return new TrainedNetwork(
        architecture,
        tensors,
        Normalisation.of(new float[] {0.1f, 0.2f, 0.3f}, new float[] {1, 0.5f, 2}),
        List.of("hare", "\u00e9t\u00e9", "1", "zebra"),
        "photos",
        Optional.of(new TrainedNetwork.Latency("a box", 0.5, "box.json")),
        OptionalDouble.of(0.75));
  }

  private List<byte[]> models() throws IOException {
    Path file = folder.resolve("written-model.safetensors");
    network().write(file);
    return List.of(Files.readAllBytes(file));
  }

  private void readModel(Path file) throws IOException {
    Path copy = folder.resolve("copy.safetensors");
    TrainedNetwork.read(file).write(copy);
    same(true, TrainedNetwork.isModel(copy));
    same(2, TrainedNetwork.weights(file, network().architecture(), note -> {}).size() > 2 ? 2 : 0);
  }

  /** A checkpoint whose manifest or tensors are damaged; what is passed over is named. */
  private Target checkpoint(String damaged) throws IOException {
    Path all = folder.resolve("checkpoints-" + damaged);
    Path written =
        new Checkpoints(all, 2)
            .write(
                new Checkpoints.Snapshot(
                    7,
                    1,
                    "weights",
                    Map.of("weights", List.of(tensor("w", Tensor.Type.F32, 2, 2))),
                    Map.of("threads", "2"),
                    "sha256:00",
                    JsonNodeFactory.instance.objectNode().put("tau", 4.5)));
    byte[] valid = Files.readAllBytes(written.resolve(damaged));
    Fuzz.Reader reader =
        file -> {
          List<String> notices = new ArrayList<>();
          Optional<Checkpoints.Found> found = new Checkpoints(all, 2).newestValid(notices::add);
          if (found.isEmpty()) {
            throw new Refused(notices.getFirst());
          }
          try (Safetensors.Reader tensors = found.get().open("weights")) {
            same(List.of("w"), tensors.names());
          }
        };
    return new Target(
        "checkpoint's " + damaged,
        written.resolve(damaged),
        written,
        damaged.endsWith(".json")
            ? new TextMutator(List.of(new String(valid, StandardCharsets.UTF_8)))
            : new TensorsMutator(List.of(valid)),
        reader,
        Refused.class,
        2 * MIB,
        TEXT);
  }

  /** A checkpoint that was passed over, with the notice. */
  private static final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String notice) {
      super(notice);
    }
  }

  private static String metrics() {
    return """
    {"format":1,"step":1,"epoch":0,"phase":"w","loss":1.5,"accuracy":0.5}
    {"format":1,"step":2,"epoch":0,"phase":"theta","loss":null,"latency_ms":0.3,"tau":5.0}
    {"format":1,"step":2,"epoch":0,"phase":"epoch","expected_ms":0.3,"theta":[[1,0,2],[0,0,1],[1,1,1]]}
    """;
  }

  private static String samples() {
    return """
    {
      "format": 1,
      "test_accuracy": 0.5,
      "test_images": 100,
      "samples": [
        {"drawn": "theta", "best": true, "latency_ms": 4.5, "accuracy": 0.5, "loss": 1.5,
         "blocks": ["k3_e3", "skip", "k5_e6"]},
        {"drawn": "uniform", "best": false, "latency_ms": 5, "accuracy": 0.25, "loss": null,
         "blocks": ["k3_e3", "k3_e3", "skip"]}
      ]
    }
    """;
  }

  /** The page of a run one of whose files is damaged. */
  private Target report(String damaged) throws IOException {
    Path run = folder.resolve("run-" + damaged);
    Files.createDirectories(run);
    RunFiles files = new RunFiles(run);
    Files.writeString(files.config(), "space: fashion\nepochs: 3\nlut: pixel3\n");
    Files.writeString(files.metrics(), metrics());
    Files.writeString(files.samples(), samples());
    table(false).write(files.latency());
    Architecture.of("", SPACE, new int[] {0, 2, 1}).write(files.architecture());
    Path page = folder.resolve("page.html");
    return new Target(
        "report's " + damaged,
        run.resolve(damaged),
        run.resolve(damaged),
        new TextMutator(List.of(Files.readString(run.resolve(damaged)))),
        file -> Report.write(run, page),
        null,
        8 * MIB,
        TEXT);
  }

  private static void same(Object expected, Object found) {
    if (!expected.equals(found)) {
      throw new AssertionError("wrote " + expected + " and read " + found);
    }
  }
}
