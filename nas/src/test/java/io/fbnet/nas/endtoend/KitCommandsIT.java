package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Latency kits, imports and exports as a user types them. */
class KitCommandsIT {
  @TempDir Path folder;
  private Fbnet fbnet;
  private Path space;
  private String said = "";

  @BeforeEach
  void prepare() throws IOException {
    fbnet = new Fbnet(folder);
    space = fbnet.tinySpace();
  }

  private Fbnet.Outcome done(Fbnet.Outcome outcome) {
    assertEquals(0, outcome.code(), outcome.err());
    said += outcome.err();
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
  }

  /**
   * Every entry is a time, but for skips that do nothing and, on a busy machine, what was no slower
   * than an empty call; that was said.
   */
  private LatencyTable checked(Path table) {
    LatencyTable read = LatencyTable.load(table.toString());
    SearchSpace tiny = SearchSpace.load(space.toString());
    read.requireFits(tiny, w -> {});
    assertFalse(read.relative());
    assertTrue(read.fixed() > 0);
    for (LayerSpec layer : tiny.layers()) {
      for (int k = 0; k < tiny.blocks().size(); k++) {
        boolean nothing = tiny.blocks().get(k).isSkip() && layer.keepsShape();
        double ms = read.ms(layer.index(), k);
        boolean hidden = ms == 0 && said.contains("take no longer than an empty call");
        assertTrue(nothing ? ms == 0 : ms > 0 || hidden, layer.name() + " " + tiny.blocks().get(k));
      }
    }
    assertEquals("CPUExecutionProvider", read.fingerprint().libraries().get("provider"));
    assertEquals("f32", read.fingerprint().precision());
    assertEquals(1, read.fingerprint().threads());
    return read;
  }

  private Path kit() {
    Path kit = folder.resolve("kit");
    done("latency", "kit", "--space", space.toString(), "--out", kit.toString());
    return kit;
  }

  @Test
  void fromKitToTable() throws Exception {
    Path kit = kit();
    refused(5, "not empty", "latency", "kit", "--space", space.toString(), "--out", kit.toString());
    refused(2, "--out", "latency", "kit", "--space", space.toString());
    refused(3, "no latency kit", "latency", "kit", "run", folder.toString());
    Path table = folder.resolve("table.json");
    refused(3, "there is no file", "latency", "import", kit.toString(), "--out", table.toString());
    done(
        fbnet.run(
            "latency", "kit", "run", kit.toString(), "--threads", "1", "--device-name", "this"));
    done("latency", "import", kit.toString(), "--out", table.toString());
    LatencyTable read = checked(table);
    assertEquals("this", read.device());
    assertTrue(read.origin().contains("fbnet latency kit run"), read.origin());

    // A search takes it, and the whole networks can be timed the same way.
    Fbnet.Outcome search = fbnet.here(Fbnet.tinySearch(space, table, folder.resolve("run")));
    assertEquals(0, search.code(), search.err());
    Fbnet.Outcome verified =
        done(
            "latency",
            "verify",
            "--runtime",
            "onnxruntime",
            "--space",
            space.toString(),
            "--lut",
            table.toString(),
            "--networks",
            "2",
            "--threads",
            "1");
    assertTrue(verified.out().contains("Kendall's tau"), verified.out());
    refused(
        2, "--lut", "latency", "verify", "--runtime", "onnxruntime", "--space", space.toString());
  }

  @Test
  @Tag("full")
  void thisMachineIsMeasuredWithOnnxRuntime() throws Exception {
    Path table = folder.resolve("table.json");
    refused(
        2, "--device", "latency", "measure", "--runtime", "onnxruntime", "--device", "reference");
    Path temporary = Files.createDirectories(folder.resolve("tmp"));
    fbnet.environment("JAVA_TOOL_OPTIONS", "-Djava.io.tmpdir=" + temporary);
    done(
        fbnet.run(
            "latency",
            "measure",
            "--runtime",
            "onnxruntime",
            "--space",
            space.toString(),
            "--threads",
            "1",
            "--out",
            table.toString()));
    assertTrue(checked(table).origin().contains("--runtime onnxruntime"));
    try (Stream<Path> left = Files.list(temporary)) {
      assertEquals(
          List.of(), left.filter(f -> f.getFileName().toString().startsWith("fbnet")).toList());
    }
  }

  @Test
  void theKitsRunnerDoesTheSame() throws Exception {
    Path kit = kit();
    Process process =
        new ProcessBuilder("python3", kit.resolve("run.py").toString(), "--threads", "1")
            .redirectErrorStream(true)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int code = process.waitFor();
    if (code == 4 && said.contains("not installed")) {
      // Without it the runner's own tests are all that holds it.
      System.err.println("skipped: the kit's runner with onnxruntime for Python: " + said.strip());
      assumeTrue(false, said);
    }
    assertEquals(0, code, said);
    Path table = folder.resolve("table.json");
    done(
        "latency",
        "import",
        kit.resolve("result.json").toString(),
        "--device",
        "renamed",
        "--out",
        table.toString());
    assertEquals("renamed", checked(table).device());
    assertTrue(LatencyTable.load(table.toString()).origin().contains("run.py"));
  }

  @Test
  void tablesGoOutAndComeBack() throws Exception {
    Path text = folder.resolve("t.txt");
    Path back = folder.resolve("back.json");
    done("latency", "export", "raspi4", "--format", "text", "--out", text.toString());
    refused(2, "--space", "latency", "import", text.toString(), "--out", back.toString());
    done(
        "latency",
        "import",
        text.toString(),
        "--space",
        "cifar",
        "--classes",
        "100",
        "--out",
        back.toString());
    assertEquals(
        LatencyTable.load("raspi4").json().get("layers"),
        LatencyTable.load(back.toString()).json().get("layers"));
    assertEquals(
        LatencyTable.load("raspi4").json().get("space"),
        LatencyTable.load(back.toString()).json().get("space"));
    String none = folder.resolve("x").toString();
    refused(
        3, "differences", "latency", "export", "raspi4", "--format", "proxyless", "--out", none);

    Fbnet.Outcome list = done(fbnet.run("latency", "list"));
    assertEquals(27 + 4, list.outLines().size(), list.out());
    assertTrue(list.out().contains("samsung_a50"), list.out());
    assertTrue(list.out().contains("MIT licence"), list.out());
    Path kept = Files.createDirectories(folder.resolve("cache/fbnet-engine/latency"));
    Files.copy(back, kept.resolve("mine.json"));
    Files.writeString(kept.resolve("torn.json"), "{");
    Fbnet.Outcome again = done(fbnet.run("latency", "list"));
    assertTrue(again.outLines().getLast().contains("mine.json"), again.out());
    assertTrue(again.err().contains("torn.json"), again.err());
  }
}
