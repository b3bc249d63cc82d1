package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The program on the CUDA back end, as a user would run it. */
class CudaCommandsIT {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;
  private Fbnet fbnet;
  private Path space;

  @BeforeEach
  void prepare() throws Exception {
    fbnet = new Fbnet(folder);
    space = fbnet.tinySpace();
  }

  private void assertSentence(Fbnet.Outcome outcome, int code, String words) {
    assertEquals(code, outcome.code(), outcome.err());
    String last = outcome.err().lines().filter(l -> l.startsWith("fbnet: ")).toList().getLast();
    assertTrue(last.contains(words), outcome.err());
    assertFalse(outcome.err().contains("\tat "), outcome.err());
  }

  @Test
  void theJarHoldsKernelsAndNoSoftwareDevice() throws Exception {
    try (JarFile jar = new JarFile(Fbnet.jar().toFile())) {
      List<String> names = jar.stream().map(JarEntry::getName).toList();
      assertTrue(names.contains("io/fbnet/kernels/weighted_sum.cu"));
      assertTrue(names.contains("io/fbnet/kernels/port.h"));
      for (String name : names) {
        assertFalse(name.contains("software") || name.contains("simt"), name);
      }
    }
  }

  @Test
  void searchesAndResumesOnTheGpu() throws Exception {
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    // That device is slow, so five of the nine candidates: each kind of block is among them.
    String all = Files.readString(space);
    String fewer = all.replaceFirst("blocks: .*", "blocks: [k3_e1, k3_e1_g2, k5_e3, k3_e6, skip]");
    assertNotEquals(all, fewer);
    Files.writeString(space, fewer);
    Path table = folder.resolve("table.json");
    Fbnet.Outcome measured =
        fbnet.here(
            "latency",
            "measure",
            "--space",
            space.toString(),
            "--device",
            "cuda",
            "--out",
            table.toString());
    assertEquals(0, measured.code(), measured.err());
    LatencyTable read = LatencyTable.load(table.toString());
    assertTrue(read.ms(2, 3) > 0 && read.fixed() > 0);
    assertTrue(read.fingerprint().toString().contains("cuDNN"), read.fingerprint().toString());

    Path run = folder.resolve("run");
    String[] more = {"--device", "cuda", "--precision", "bf16", "--deterministic"};
    String[] flags = Fbnet.tinySearch(space, table, run, more);
    flags[List.of(flags).indexOf("--train-images") + 1] = "320";
    Fbnet.Outcome search = fbnet.run(flags);
    assertEquals(0, search.code(), search.err());
    assertTrue(search.out().contains("Found for "), search.out());
    assertTrue(search.err().contains("bf16"), search.err());
    List<JsonNode> lines = List.copyOf(MetricsLog.read(run.resolve("metrics.jsonl")));
    assertTrue(lines.size() > 50, lines.size() + " lines");

    Fbnet.Outcome again = fbnet.here("search", "--resume", run.toString());
    assertEquals(0, again.code(), again.err());
    assertEquals(lines, List.copyOf(MetricsLog.read(run.resolve("metrics.jsonl"))));
  }

  @Test
  void doctorShowsWhatWasFound() throws Exception {
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    JsonNode tree = JSON.readTree(fbnet.run("doctor", "--json").out());
    assertEquals("cuda", tree.at("/backends/2/name").asText());
    assertTrue(tree.at("/backends/2/works").asBoolean(), tree.toString());
    assertTrue(tree.at("/backends/2/note").asText().contains("no GPU"), tree.toString());
    assertEquals(7, tree.path("libraries").size());
    assertEquals("NCCL", tree.at("/libraries/5/name").asText());
    assertTrue(tree.at("/libraries/5/found").asBoolean(), tree.toString());
  }

  @Test
  void doctorSaysWhatWasTriedAndWhatToInstall() throws Exception {
    fbnet.cudaPath(folder.resolve("nothing-here"));
    fbnet.environment("FBNET_MPI_PATH", folder.resolve("nothing-here").toString());
    JsonNode tree = JSON.readTree(fbnet.run("doctor", "--json").out());
    JsonNode nccl = tree.at("/libraries/5");
    assertEquals("NCCL", nccl.path("name").asText());
    assertTrue(nccl.path("tried").toString().contains("libnccl.so.2"), nccl.toString());
    if (!nccl.path("found").asBoolean()) {
      assertTrue(nccl.path("remedy").asText().contains("only where several processes"), "" + nccl);
    }
    JsonNode mpi = tree.at("/libraries/6");
    assertEquals("MPI", mpi.path("name").asText());
    assertFalse(mpi.path("found").asBoolean());
    assertTrue(mpi.path("tried").toString().contains("nothing-here"), mpi.toString());
    assertTrue(mpi.path("remedy").asText().startsWith("install Open MPI or MPICH"), mpi.toString());
    JsonNode driver = tree.at("/libraries/1");
    assumeTrue(!driver.path("found").asBoolean(), "this machine has an NVIDIA driver");
    assertTrue(driver.path("tried").toString().contains("libcuda.so.1"), driver.toString());
    assertTrue(driver.path("remedy").asText().contains("install"), driver.toString());
    assertFalse(tree.at("/backends/2/works").asBoolean());
  }

  @Test
  void devicesThatCannotServeAreRefusedInOneSentence() throws Exception {
    assertSentence(
        fbnet.here("search", "--data", "shapes", "--device", "cpu", "--precision", "tf32"),
        2,
        "--precision tf32 needs --device cuda");
    assertSentence(
        fbnet.here("search", "--data", "shapes", "--device", "reference", "--precision", "bf16"),
        2,
        "--precision bf16 needs --device cpu or cuda");
    assertSentence(
        fbnet.here("search", "--data", "shapes", "--device", "auto", "--precision", "tf32"),
        2,
        "--precision tf32 needs --device cuda");
    fbnet.cudaPath(folder.resolve("nothing-here"));
    Fbnet.Outcome none = fbnet.run("search", "--data", "shapes", "--device", "cuda");
    assumeTrue(none.code() != 0, "this machine has a GPU");
    assertSentence(none, 4, "--device cuda needs a GPU, but CUDA driver was not found");
  }

  @Test
  void autoSaysWhyItTakesTheCpu() throws Exception {
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    Fbnet.Outcome dry =
        fbnet.here(
            "search",
            "--space",
            space.toString(),
            "--data",
            "shapes",
            "--batch",
            "16",
            "--train-images",
            "200",
            "--dry-run",
            "--device",
            "auto");
    assertEquals(0, dry.code(), dry.err());
    assertTrue(dry.err().contains("no GPU: the device found is the tests'"), dry.err());
  }

  @Test
  @Tag("full")
  void memoryThatRunsOutEndsInOneSentence() throws Exception {
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    fbnet.environment("SOFT_CUDA_MEMORY", Long.toString(6 << 20));
    Fbnet.Outcome full =
        fbnet.run(
            "search",
            "--space",
            space.toString(),
            "--data",
            "shapes",
            "--batch",
            "64",
            "--train-images",
            "400",
            "--device",
            "cuda",
            "--dry-run");
    assertSentence(full, 4, "would fit instead of 64");
  }

  /** A rate beyond all reason: weights grow until a loss is no number. */
  @Test
  @Tag("full")
  void aDivergedRunLeavesAReport() throws Exception {
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    Path table = fbnet.tinyTable();
    for (String device : List.of("cpu", "cuda")) {
      Path run = folder.resolve("run-" + device);
      String[] more = {"--device", device, "--rate", "1e30"};
      Fbnet.Outcome outcome = fbnet.here(Fbnet.tinySearch(space, table, run, more));
      assertSentence(outcome, 6, "report.json");
      JsonNode report = JSON.readTree(run.resolve("diverged").resolve("report.json").toFile());
      assertTrue(report.path("tensors").size() > 20, report.toString());
      assertEquals("w", report.at("/step/phase").asText());
      boolean broken = false;
      for (JsonNode tensor : report.path("tensors")) {
        broken |= tensor.path("not_finite").asInt() > 0;
        assertFalse(
            tensor.path("set").asText().equals("weights")
                && tensor.path("of").asText().equals("values")
                && tensor.path("not_finite").asInt() > 0,
            "a weight was touched: " + tensor);
      }
      assertTrue(broken, "nothing in the report is no number");
      assertTrue(Files.isDirectory(run.resolve("checkpoints")), "the checkpoint is gone");
    }
  }
}
