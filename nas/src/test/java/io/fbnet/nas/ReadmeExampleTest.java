package io.fbnet.nas;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.cpu.CpuBackend;
import io.fbnet.engine.graph.Autodiff;
import io.fbnet.engine.graph.GraphBuilder;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.program.ParameterStore;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.space.Architecture;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The README's Java: it runs, and the README shows what runs. */
class ReadmeExampleTest {
  private static final Path README = Path.of("..", "README.md");
  private static final Path SOURCE =
      Path.of("src", "test", "java", "io", "fbnet", "nas", "ReadmeExampleTest.java");

  /** Trains on eight images of 6x6 pixels; the loss of each step. */
  private static float[] train(float[] pixels, int[] classes) {
    float[] losses = new float[50];
    // README begins
    var b = new GraphBuilder();
    var images = b.input("images", Type.F32, 8, 1, 6, 6);
    var labels = b.input("labels", Type.I32, 8);
    var kernel = b.parameter("weights", "conv.w", true, new Initial.Normal(0.3), 16, 1, 3, 3);
    var w = b.parameter("weights", "fc.w", true, new Initial.Normal(0.1), 2, 16);
    var bias = b.parameter("weights", "fc.b", false, new Initial.Constant(0), 2);
    var logits = b.linear(b.globalPool(b.convolution(images, kernel, 1, 1)), w, bias);
    var loss = b.mean(b.crossEntropy(logits, labels));
    Autodiff.gradients(b, loss, List.of(kernel, w, bias));
    var finite = b.allFinite(List.of(loss, b.flat("weights", Storage.Flat.GRADIENTS)));
    b.sgd("weights", b.control("rate", Type.F32), finite, 0.9f, 1e-4f);
    b.output("loss", loss);
    var graph = b.build();
    try (Backend cpu = CpuBackend.open(1);
        var store = new ParameterStore(cpu, graph.parameters());
        var step = Program.compile(cpu, graph, store);
        var arena = Arena.ofConfined()) {
      store.initialise(1);
      step.write("images", arena.allocateFrom(JAVA_FLOAT, pixels));
      step.write("labels", arena.allocateFrom(JAVA_INT, classes));
      step.set("rate", 0.1);
      for (int i = 0; i < losses.length; i++) {
        step.run();
        losses[i] = step.scalar("loss");
      }
    }
    // README ends
    return losses;
  }

  @Test
  void theExampleLearns() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
    float[] pixels = new float[8 * 6 * 6];
    int[] classes = new int[8];
    for (int i = 0; i < pixels.length; i++) {
      int image = i / 36;
      classes[image] = image % 2;
      pixels[i] = (image % 2 == 0 ? 0.5f : -0.5f) + 0.2f * (float) Math.sin(i);
    }
    float[] losses = train(pixels, classes);
    float last = losses[losses.length - 1];
    assertTrue(last < losses[0] / 2, losses[0] + " became " + last);
  }

  @Test
  void theReadmeShowsWhatRuns() throws IOException {
    String readme = between(Files.readString(README), "```java\n", "```");
    String source = between(Files.readString(SOURCE), "// README begins\n", "// README ends");
    assertEquals(unindented(source), unindented(readme));
  }

  @Test
  void theArchitectureOfTheTrainingProofIsRead() {
    Path file = Path.of("..", "docs", "examples", "fixed-fashion.json");
    assertEquals(9, Architecture.load(file.toString()).blocks().size());
  }

  /** What stands between the first {@code begin} and the next {@code end}. */
  private static String between(String text, String begin, String end) {
    int start = text.indexOf(begin) + begin.length();
    return text.substring(start, text.indexOf(end, start));
  }

  private static List<String> unindented(String text) {
    return text.strip().lines().map(String::strip).toList();
  }
}
