package io.fbnet.nas.kit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.TensorInfo;
import ai.onnxruntime.ValueInfo;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.onnx.OnnxRuntime;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KitTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Two layers of the first stage are the same work; skip works only where the shape changes. */
  private static final SearchSpace SPACE =
      new SearchSpace(
          "tiny",
          new SearchSpace.Input(3, 9, 7),
          4,
          new SearchSpace.Stem(8, 1),
          List.of(new SearchSpace.Stage(8, 2, 1), new SearchSpace.Stage(16, 1, 2)),
          24,
          BlockType.FBNET,
          true);

  @TempDir Path folder;
  private Path kit;

  @BeforeEach
  void write() {
    kit = folder.resolve("kit");
    int files = Kit.write(SPACE, 2, false, kit, (done, total, what) -> {});
    // Eight blocks of the first two layers, nine of the third, call, stem and head.
    assertEquals(20, files);
  }

  /** Changes a JSON file. */
  private static void edit(Path file, Consumer<ObjectNode> change) throws IOException {
    ObjectNode tree = (ObjectNode) JSON.readTree(Files.readString(file));
    change.accept(tree);
    Files.writeString(file, tree.toString());
  }

  /** Times by name: the call 1 ms, the n-th file n ms more. */
  private static Map<String, KitResult.Time> times(KitManifest manifest) {
    Map<String, KitResult.Time> times = new LinkedHashMap<>();
    for (KitManifest.Entry entry : manifest.files()) {
      times.put(entry.name(), new KitResult.Time(1 + times.size(), 0.1, 10));
    }
    return times;
  }

  private Path result() {
    Path file = kit.resolve(KitResult.NAME);
    new KitResult(
            "box",
            "chip",
            "onnxruntime",
            "9.9",
            "SomeProvider",
            3,
            "2026-01-01",
            "test",
            times(KitManifest.read(kit)))
        .write(file, kit);
    return file;
  }

  private static LatencyTable table(Path file) {
    List<String> warnings = new ArrayList<>();
    LatencyTable table = KitResult.table(file, null, warnings::add);
    assertEquals(List.of(), warnings);
    return table;
  }

  @Test
  void aKitHoldsEachDistinctWorkOnce() throws IOException {
    KitManifest manifest = KitManifest.read(kit);
    Set<String> hashes = new HashSet<>();
    Set<String> cells = new HashSet<>();
    for (KitManifest.Entry entry : manifest.files()) {
      assertTrue(hashes.add(entry.sha256()), entry.name() + " is another file once more");
      assertEquals(Files.size(kit.resolve(entry.name())), entry.bytes());
      assertEquals(2, entry.shape().getFirst());
      entry.layers().forEach(layer -> assertTrue(cells.add(layer + entry.block())));
    }
    assertEquals(3 * 9 - 2, cells.size(), "all but the skips that do nothing");
    try (Stream<Path> files = Files.list(kit)) {
      assertEquals(manifest.files().size() + 2, files.count(), "manifest and runner beside them");
    }
    assertEquals(List.of(0, 1), manifest.files().get(2).layers());
    assertEquals(List.of(2, 8, 9, 7), manifest.files().get(2).shape());
    assertEquals(Kit.runner(), Files.readString(kit.resolve("run.py")));
    Path again = folder.resolve("again");
    Kit.write(SPACE, 2, false, again, (done, total, what) -> {});
    assertEquals(-1, Files.mismatch(kit.resolve("manifest.json"), again.resolve("manifest.json")));
  }

  @Test
  void aFolderInUseIsRefused() throws IOException {
    Refusals.refused(
        ExitCode.STORAGE,
        () -> Kit.write(SPACE, 1, false, kit, (done, total, what) -> {}),
        "not empty");
    Path file = Files.writeString(folder.resolve("file"), "x");
    Refusals.refused(
        ExitCode.STORAGE,
        () -> Kit.write(SPACE, 1, false, file, (done, total, what) -> {}),
        "a file");
  }

  @Test
  void aResultBecomesAnAbsoluteTable() {
    LatencyTable table = table(result());
    table.requireFits(SPACE, warning -> {});
    // In the order of the files: call 1, stem 2, blocks 3 to 19, head 20; the call counts once.
    assertEquals(2 + 19, table.fixed());
    assertArrayEquals(new double[] {2, 3, 4, 5, 6, 7, 8, 9, 0}, table.layers()[0]);
    assertArrayEquals(table.layers()[0], table.layers()[1]);
    assertArrayEquals(new double[] {10, 11, 12, 13, 14, 15, 16, 17, 18}, table.layers()[2]);
    assertEquals(0.1 * 3 / 2, table.spread().orElseThrow()[0][0], 1e-12);
    assertEquals("box", table.device());
    assertEquals(3, table.fingerprint().threads());
    assertEquals("chip", table.fingerprint().processor());
    assertEquals("9.9", table.fingerprint().libraries().get("onnxruntime"));
    assertEquals("SomeProvider", table.fingerprint().libraries().get("provider"));
    assertEquals(2, table.fingerprint().batch());
    assertEquals("2026-01-01", table.fingerprint().date());
  }

  @Test
  void aBlockNoSlowerThanACallIsNamed() throws IOException {
    Path file = result();
    edit(file, tree -> ((ObjectNode) tree.at("/times/2")).put("median_ms", 0.5));
    List<String> warnings = new ArrayList<>();
    LatencyTable table = KitResult.table(file, null, warnings::add);
    assertEquals(0, table.ms(0, 0));
    assertEquals(1, warnings.size());
    assertTrue(warnings.getFirst().contains("l1_k3_e1.onnx"), warnings.getFirst());
  }

  @Test
  void aResultMayLieElsewhere() throws IOException {
    Path elsewhere = folder.resolve("deep").resolve("er").resolve("r.json");
    Path file = result();
    KitResult result =
        new KitResult("b", "c", "o", "1", "p", 1, "2026", "t", times(KitManifest.read(kit)));
    result.write(elsewhere, kit);
    assertEquals(21, table(elsewhere).fixed());
    Path lost = Files.copy(file, folder.resolve("lost.json"));
    Refusals.data(() -> table(lost), "lost.json, line", "--kit");
    assertEquals(21, KitResult.table(lost, kit, w -> {}).fixed());
  }

  @Test
  void wrongResultsAreRefused() throws IOException {
    refusedResult(t -> ((ArrayNode) t.get("times")).remove(3), "lacks 1 of the kit's 20 files");
    refusedResult(t -> ((ObjectNode) t.at("/times/0")).put("name", "x.onnx"), "x.onnx", "no file");
    refusedResult(t -> ((ObjectNode) t.at("/times/0")).put("median_ms", 0), "too coarse");
    refusedResult(t -> ((ObjectNode) t.at("/times/0")).put("median_ms", -1), "median_ms");
    refusedResult(t -> ((ObjectNode) t.at("/times/0")).put("name", "stem.onnx"), "a second time");
    refusedResult(t -> t.put("kit_sha256", "0".repeat(64)), "another kit");
    refusedResult(t -> t.put("format", 2), "version");
    refusedResult(t -> t.put("threads", 0), "threads");
    refusedResult(t -> t.remove("provider"), "lacks", "provider");
    refusedResult(t -> t.put("extra", 1), "unknown key");
    Path file = result();
    edit(
        file,
        t -> ((ObjectNode) t.at("/times/2")).put("median_ms", 1.0000000001).put("spread", 1e6));
    Refusals.data(() -> KitResult.table(file, null, w -> {}), "result.json", "spread[0][0]");
  }

  private void refusedResult(Consumer<ObjectNode> change, String... words) throws IOException {
    Path file = result();
    edit(file, change);
    Refusals.data(() -> KitResult.table(file, null, w -> {}), words);
    Refusals.data(() -> KitResult.table(file, null, w -> {}), "result.json, line");
  }

  @Test
  void wrongManifestsAreRefused() throws IOException {
    refusedManifest(t -> ((ObjectNode) t.at("/files/0")).put("name", "../x.onnx"), "plain name");
    refusedManifest(t -> ((ObjectNode) t.at("/files/0")).put("sha256", "ab"), "64");
    refusedManifest(t -> ((ObjectNode) t.at("/files/0")).put("part", "tail"), "call, stem");
    refusedManifest(t -> ((ObjectNode) t.at("/files/0")).put("part", "stem"), "one file", "call");
    refusedManifest(t -> ((ObjectNode) t.at("/files/2")).put("block", "k9_e9"), "no block");
    refusedManifest(t -> ((ObjectNode) t.at("/files/2")).put("name", "stem.onnx"), "second time");
    refusedManifest(t -> t.put("kind", "other"), "fbnet-latency-kit");
    refusedManifest(
        t -> ((ArrayNode) t.at("/files/2/input/shape")).set(2, 1 << 20).set(3, 1 << 20),
        "files[2].input.shape",
        "more than 268435456 numbers");
    refusedManifest(t -> ((ObjectNode) t.at("/protocol")).put("rounds", 0), "rounds");
    Refusals.data(() -> KitManifest.read(folder), "no latency kit", "manifest.json");
  }

  private void refusedManifest(Consumer<ObjectNode> change, String... words) throws IOException {
    Path file = kit.resolve("manifest.json");
    String good = Files.readString(file);
    edit(file, change);
    Refusals.data(() -> KitManifest.read(kit), words);
    Files.writeString(file, good);
  }

  @Test
  void onnxRuntimeTimesAKit() throws IOException {
    quick(kit);
    Path out = folder.resolve("out.json");
    new OrtMeter(1).run(kit, "here", out, (done, total, what) -> {});
    List<String> warnings = new ArrayList<>();
    LatencyTable table = KitResult.table(out, kit, warnings::add);
    assertEquals("here", table.device());
    assertEquals("CPUExecutionProvider", table.fingerprint().libraries().get("provider"));
    assertTrue(table.fixed() > 0);

    Files.write(kit.resolve("stem.onnx"), new byte[] {1, 2, 3});
    Refusals.data(
        () -> new OrtMeter(1).run(kit, "", out, (done, total, what) -> {}), "stem.onnx is damaged");
    edit(
        kit.resolve("manifest.json"),
        t -> ((ObjectNode) t.at("/files/1")).put("sha256", Hash.of(kit.resolve("stem.onnx"))));
    Refusals.data(
        () -> new OrtMeter(1).run(kit, "", out, (done, total, what) -> {}), "refuses", "stem.onnx");
  }

  @Test
  void aKitInEightBitsPassesBytesFromBlockToBlock() throws Exception {
    Path small = folder.resolve("small");
    assertEquals(20, Kit.write(SPACE, 2, true, small, (done, total, what) -> {}));
    KitManifest manifest = KitManifest.read(small);
    assertEquals("int8", manifest.precision());
    for (KitManifest.Entry entry : manifest.files()) {
      boolean within = entry.part() == KitManifest.Part.BLOCK;
      boolean last = entry.part() == KitManifest.Part.HEAD;
      assertEquals(within || last, entry.bytesIn(), entry.name());
      try (OnnxRuntime runtime = new OnnxRuntime(small.resolve(entry.name()))) {
        var in = runtime.session().getInputInfo().get(entry.input()).getInfo();
        assertEquals(entry.bytesIn() ? OnnxJavaType.UINT8 : OnnxJavaType.FLOAT, type(in));
        var out = runtime.session().getOutputInfo().values().iterator().next().getInfo();
        boolean bytesOut = within || entry.part() == KitManifest.Part.STEM;
        assertEquals(bytesOut ? OnnxJavaType.UINT8 : OnnxJavaType.FLOAT, type(out), entry.name());
      }
    }
    quick(small);
    Path out = folder.resolve("out.json");
    new OrtMeter(1).run(small, "here", out, (done, total, what) -> {});
    LatencyTable table = KitResult.table(out, small, warning -> {});
    assertEquals("int8", table.fingerprint().precision());
    assertTrue(table.fixed() > 0);
    edit(
        small.resolve("manifest.json"),
        t -> ((ObjectNode) t.at("/files/1/input")).put("type", "int7"));
    Refusals.data(() -> KitManifest.read(small), "must be f32 or uint8", "int7");
  }

  private static OnnxJavaType type(ValueInfo info) {
    return ((TensorInfo) info).type;
  }

  /** Makes a kit's protocol so short that its times are worth nothing. */
  private static void quick(Path kit) throws IOException {
    edit(
        kit.resolve("manifest.json"),
        t ->
            ((ObjectNode) t.get("protocol"))
                .put("rounds", 1)
                .put("window_ms", 0)
                .put("first_warm_up_ms", 0)
                .put("longest_warm_up_ms", 1)
                .put("round_ms", 0));
  }

  @Test
  void wholeNetworksAreTimedTwice() {
    LatencyTable table = table(result());
    List<Architecture> two =
        List.of(
            Architecture.of("", SPACE, new int[] {0, 1, 2}),
            Architecture.of("", SPACE, new int[] {8, 8, 8}));
    var found = new OrtMeter(1).verify(table, two, (done, total, what) -> {});
    assertArrayEquals(new double[] {21 + 2 + 3 + 12, 21 + 18}, found.predicted());
    for (double[] pass : new double[][] {found.measured(), found.repeated()}) {
      assertEquals(2, pass.length);
      assertTrue(pass[0] > 0 && pass[1] > 0);
    }
  }
}
