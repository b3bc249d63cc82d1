package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Every verb once, as a user types it, and what wrong input ends in. */
class CommandsIT {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;
  private Fbnet fbnet;
  private Path space;

  @BeforeEach
  void prepare() throws Exception {
    fbnet = new Fbnet(folder);
    space = fbnet.tinySpace();
  }

  @Test
  void fromTableToArchitectureAndBack() throws Exception {
    Path table = folder.resolve("table.json");
    Fbnet.Outcome measured =
        fbnet.here("latency", "measure", "--space", space.toString(), "--out", table.toString());
    assertEquals(0, measured.code(), measured.err());
    LatencyTable read = LatencyTable.load(table.toString());
    SearchSpace tiny = SearchSpace.load(space.toString());
    read.requireFits(tiny, w -> {});
    assertFalse(read.relative());
    // A skip that keeps the shape does nothing, the one that changes it is a convolution.
    assertEquals(0, read.ms(0, 8));
    assertTrue(read.ms(2, 8) > 0);
    assertTrue(read.ms(0, 0) > 0 && read.fixed() > 0);

    Path run = folder.resolve("run");
    Fbnet.Outcome search = fbnet.run(Fbnet.tinySearch(space, table, run));
    assertEquals(0, search.code(), search.err());
    assertTrue(search.out().contains("Found for "), search.out());
    assertTrue(search.out().contains("(generated)"), search.out());
    Architecture found = Architecture.load(run.resolve("architecture.json").toString());
    assertEquals(4, found.blocks().size());

    Fbnet.Outcome again = fbnet.run("sample", run.toString(), "--count", "3", "--uniform");
    assertEquals(0, again.code(), again.err());
    assertTrue(again.out().contains("drawn uniformly"), again.out());

    Fbnet.Outcome described =
        fbnet.here(
            "describe",
            run.resolve("architecture.json").toString(),
            "--lut",
            run.resolve("latency.json").toString(),
            "--json");
    assertEquals(0, described.code(), described.err());
    JsonNode tree = JSON.readTree(described.out());
    assertTrue(tree.path("macs").asLong() > 0 && tree.path("latency_ms").asDouble() > 0);

    Fbnet.Outcome verified =
        fbnet.here(
            "latency",
            "verify",
            "--space",
            space.toString(),
            "--lut",
            table.toString(),
            "--networks",
            "3");
    assertEquals(0, verified.code(), verified.err());
    assertTrue(verified.out().contains("Kendall's tau"), verified.out());

    Fbnet.Outcome trained =
        fbnet.here(
            "train",
            run.resolve("architecture.json").toString(),
            "--data",
            "shapes",
            "--train-images",
            "320",
            "--epochs",
            "1",
            "--batch",
            "16",
            "--out",
            folder.resolve("child").toString());
    assertEquals(0, trained.code(), trained.err());
    assertTrue(Files.size(folder.resolve("child").resolve("model.safetensors")) > 1000);

    // The run exists: it is not overwritten.
    Fbnet.Outcome twice = fbnet.here(Fbnet.tinySearch(space, table, run));
    assertEquals(2, twice.code(), twice.err());
    assertTrue(twice.err().contains("never overwritten"), twice.err());
    Fbnet.Outcome changed = fbnet.here("search", "--resume", run.toString(), "--epochs", "9");
    assertEquals(2, changed.code(), changed.err());
    assertTrue(changed.err().contains("--epochs cannot be given with --resume"), changed.err());
  }

  /** Images in bf16 and parameters in f32, on any processor, and again from a checkpoint. */
  @Test
  @Tag("full")
  @EnabledOnOs(OS.LINUX)
  void aSearchOnBf16Images() throws Exception {
    Path table = folder.resolve("table.json");
    Fbnet.Outcome measured =
        fbnet.here(
            "latency",
            "measure",
            "--space",
            space.toString(),
            "--out",
            table.toString(),
            "--device",
            "cpu",
            "--precision",
            "bf16");
    assertEquals(0, measured.code(), measured.err());
    assertEquals("bf16", LatencyTable.load(table.toString()).fingerprint().precision());

    Path run = folder.resolve("run");
    Fbnet.Outcome search =
        fbnet.here(Fbnet.tinySearch(space, table, run, "--device", "cpu", "--precision", "bf16"));
    assertEquals(0, search.code(), search.err());
    assertTrue(search.out().contains("Found for "), search.out());
    boolean said = search.err().contains("no instructions for bf16");
    boolean has = Files.readString(Path.of("/proc/cpuinfo")).contains("avx512_bf16");
    assertEquals(!has, said, search.err());
    List<JsonNode> lines = List.copyOf(MetricsLog.read(run.resolve("metrics.jsonl")));

    Fbnet.Outcome again = fbnet.here("search", "--resume", run.toString());
    assertEquals(0, again.code(), again.err());
    assertEquals(lines, List.copyOf(MetricsLog.read(run.resolve("metrics.jsonl"))));
  }

  @Test
  @Tag("full")
  void aDryRunWritesNothing() throws Exception {
    Fbnet.Outcome dry =
        fbnet.run(
            "search",
            "--space",
            space.toString(),
            "--data",
            "shapes",
            "--batch",
            "16",
            "--dry-run");
    assertEquals(0, dry.code(), dry.err());
    assertTrue(dry.out().contains("planned"), dry.out());
    assertFalse(Files.exists(folder.resolve("runs")));
  }

  @Test
  void doctorRunsAKernel() throws Exception {
    Fbnet.Outcome doctor = fbnet.run("doctor", "--json");
    JsonNode tree = JSON.readTree(doctor.out());
    assertEquals("reference", tree.at("/backends/0/name").asText());
    assertTrue(tree.at("/java/vector_module").asBoolean(), doctor.out());
    boolean cpu = tree.at("/backends/1/works").asBoolean();
    assertEquals(cpu ? 0 : 4, doctor.code(), doctor.err());
    if (cpu) {
      assertTrue(tree.at("/backends/1/kernel_error").asDouble() < 1e-4, doctor.out());
    }
  }

  @Test
  void dataCheckNamesTheFile() throws Exception {
    Path images = folder.resolve("images");
    for (String name : List.of("a", "b")) {
      for (String split : List.of("train", "test")) {
        Path where = Files.createDirectories(images.resolve(split).resolve(name));
        byte[] header = "P5 12 12 255\n".getBytes(java.nio.charset.StandardCharsets.US_ASCII);
        byte[] file = java.util.Arrays.copyOf(header, header.length + 144);
        java.util.Arrays.fill(file, header.length, file.length, (byte) name.charAt(0));
        Files.write(where.resolve("good.pgm"), file);
        if (name.equals("b") && split.equals("train")) {
          Files.write(where.resolve("short.pgm"), java.util.Arrays.copyOf(file, 40));
        }
      }
    }
    Fbnet.Outcome check =
        fbnet.here("data", "check", "--space", space.toString(), "--data", images.toString());
    assertEquals(3, check.code(), check.err());
    assertTrue(check.out().contains("short.pgm"), check.out());
    assertFalse(check.out().contains("good.pgm"), check.out());
  }

  @Test
  void wrongInputEndsInOneSentence() throws Exception {
    String[][] cases = {
      {"2", "--epoch", "search", "--epoch", "3"},
      {"2", "--epochs must be at least 1", "search", "--epochs", "0"},
      {"3", "fashion", "search", "--space", "fashoin"},
      {"3", "--data", "search", "--data", "no/such/folder"},
      {"2", "--data", "search", "--space", "imagenet"},
      {"3", "raspi", "search", "--data", "shapes", "--lut", "raspi5"},
      {"3", "does not fit", "search", "--space", "fashion", "--data", "shapes", "--lut", "raspi4"},
      {"2", "holds no run", "search", "--resume", "nowhere"},
      {"2", "holds no run", "sample", "nowhere"},
      {"2", "holds no run", "report", "nowhere"},
      {"2", "--threads", "search", "--threads", "0", "--data", "shapes"},
      {"3", "fbnet", "describe", "fbnet-z"},
    };
    for (int i = 0; i < cases.length; i++) {
      String[] c = cases[i];
      String[] arguments = java.util.Arrays.copyOfRange(c, 2, c.length);
      // The first of the command line, one of what is read: as processes end; the rest differ
      // before that.
      Fbnet.Outcome outcome = i == 0 || i == 2 ? fbnet.run(arguments) : fbnet.here(arguments);
      String what = List.of(arguments) + ": " + outcome.err();
      assertEquals(Integer.parseInt(c[0]), outcome.code(), what);
      List<String> complaints = outcome.err().lines().filter(l -> l.startsWith("fbnet: ")).toList();
      assertTrue(complaints.getLast().contains(c[1]), what);
      assertFalse(outcome.err().contains("\tat "), what);
      assertEquals("", outcome.out(), what);
    }
  }
}
