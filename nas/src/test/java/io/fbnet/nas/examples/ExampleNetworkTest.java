package io.fbnet.nas.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.nas.cli.InProcess;
import io.fbnet.nas.model.TrainedNetwork;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The trained network that comes with the project does what a trained network is for. */
class ExampleNetworkTest {
  private static final Path MODEL = Path.of("..", "docs", "examples", "cifar10.safetensors");
  private static final Path CARD = Path.of("..", "docs", "examples", "cifar10.md");
  private static final long LARGEST = 2_000_000;

  @TempDir Path folder;

  private static JsonNode json(String... arguments) throws IOException {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = InProcess.run(arguments, new PrintWriter(out), new PrintWriter(err));
    assertEquals(0, code, err.toString());
    return new ObjectMapper().readTree(out.toString());
  }

  @Test
  void isSmallAndDescribed() throws IOException {
    assertTrue(Files.size(MODEL) <= LARGEST, Files.size(MODEL) + " bytes");
    JsonNode tree = json("describe", MODEL.toString(), "--json");
    assertEquals(10, tree.path("classes").size());
    double accuracy = tree.path("test_accuracy").asDouble();
    assertTrue(accuracy > 0.8 && accuracy < 1, tree.toString());
    String card = Files.readString(CARD);
    assertTrue(card.contains(String.format(Locale.ROOT, "%.4f", accuracy)), card);
    assertTrue(tree.path("macs").asLong() > 0, tree.toString());
  }

  @Test
  void isExported() throws IOException {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    Path file = folder.resolve("net.onnx");
    StringWriter err = new StringWriter();
    int code =
        InProcess.run(
            new String[] {"export", MODEL.toString(), "--fold-bn", "--out", file.toString()},
            new PrintWriter(new StringWriter()),
            new PrintWriter(err));
    assertEquals(0, code, err.toString());
    assertTrue(Files.size(file) > Files.size(MODEL) / 2);
  }

  @Test
  void isAsAccurateAsItsCardSays() throws IOException {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    String place = System.getenv("FBNET_CIFAR");
    String reason = "FBNET_CIFAR names no folder of CIFAR-10 images (test/<class>/*.jpg)";
    if (place == null || !Files.isDirectory(Path.of(place, "test"))) {
      System.out.println("ExampleNetworkTest skipped: " + reason);
      assumeTrue(false, reason);
    }
    JsonNode tree =
        json("evaluate", MODEL.toString(), "--data", place, "--device", "cpu", "--json");
    double said = TrainedNetwork.read(MODEL).testAccuracy().orElseThrow();
    // Of 10,000 images, by another processor's roundings.
    assertEquals(said, tree.path("top1").asDouble(), 0.001, tree.toString());
  }
}
