package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.TensorInfo;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.onnx.OnnxRuntime;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code export --int8} and tables for what it writes. */
class ExportInt8Test {
  @TempDir Path folder;
  private SmallRuns runs;

  @BeforeEach
  void data() throws IOException {
    runs = new SmallRuns(folder);
  }

  private Path model() throws IOException {
    Path architecture =
        Files.writeString(
            folder.resolve("net.json"),
            "{\"space\": \"%s\", \"blocks\": [\"k3_e3\", \"k5_e1\", \"k3_e1\"]}"
                .formatted(runs.space));
    Path run = folder.resolve("child");
    SmallRuns.run(
            "train",
            architecture.toString(),
            "--data=" + runs.data,
            "--device=cpu",
            "--threads=1",
            "--epochs=4",
            "--batch=8",
            "--out=" + run)
        .succeeded();
    return run.resolve("model.safetensors");
  }

  private Outcome export(Path model, String... flags) {
    String[] all = new String[flags.length + 3];
    all[0] = "export";
    all[1] = model.toString();
    all[2] = "--out=" + folder.resolve("net.onnx");
    System.arraycopy(flags, 0, all, 3, flags.length);
    return SmallRuns.run(all);
  }

  private static double number(String text, String pattern) {
    Matcher matcher = Pattern.compile(pattern).matcher(text);
    assertTrue(matcher.find(), text);
    return Double.parseDouble(matcher.group(1));
  }

  @Test
  void bothAccuraciesAreSaidAndTheFileKnowsItsOwn() throws Exception {
    Path model = model();
    Outcome evaluated =
        SmallRuns.run(
            "evaluate",
            model.toString(),
            "--data=" + runs.data,
            "--device=cpu",
            "--threads=1",
            "--no-latency",
            "--json");
    double known = number(evaluated.succeeded().out(), "\"top1\"\\s*:\\s*([0-9.]+)");
    for (String normalise : new String[] {"--normalise", "--fold-bn"}) {
      Outcome outcome =
          export(
              model,
              "--int8",
              normalise,
              "--data=" + runs.data,
              "--device=cpu",
              "--threads=1",
              "--calibration-images=20",
              "--batch=3");
      String said = outcome.succeeded().out();
      assertEquals(known, number(said, "f32 +([0-9.]+)"), 1e-9, said);
      double rounded = number(said, "int8 +([0-9.]+)");
      assertEquals(known, rounded, 0.1, said);
      assertTrue(said.contains("on the 10 test images"), said);
      try (OnnxRuntime runtime = new OnnxRuntime(folder.resolve("net.onnx"))) {
        Map<String, String> properties = runtime.properties();
        assertEquals("int8", properties.get("precision"));
        // What was compared above took all test images at once: only the result is for three.
        TensorInfo logits = (TensorInfo) runtime.session().getOutputInfo().get("logits").getInfo();
        assertArrayEquals(new long[] {3, 2}, logits.getShape());
        assertEquals(rounded, Double.parseDouble(properties.get("test_accuracy")));
        assertEquals(known, Double.parseDouble(properties.get("test_accuracy_f32")));
        assertTrue(properties.get("calibration").startsWith("20 training images"));
        assertEquals(
            normalise.equals("--normalise") ? "0..1" : "normalised", properties.get("input"));
      }
    }
  }

  @Test
  void wrongFlagsAreRefusedBeforeAnythingIsWritten() throws Exception {
    Path model = model();
    export(model, "--int8").refused(2, "no name of a data set", "--data");
    export(model, "--data=" + runs.data).refused(2, "--data is for --int8");
    export(model, "--int8", "--data=" + runs.data, "--calibration-images=0")
        .refused(2, "--calibration-images");
    export(model, "--int8", "--data=shapes", "--device=cpu").refusedAtTheEnd(3, "classes");
    assertFalse(Files.exists(folder.resolve("net.onnx")));
    SmallRuns.run("latency", "measure", "--space=" + runs.space, "--int8")
        .refused(2, "--int8 needs --runtime onnxruntime");
  }

  @Test
  void aTableForEightBitsIsMeasuredAndVerified() throws Exception {
    Path table = folder.resolve("int8.json");
    SmallRuns.run(
            "latency",
            "measure",
            "--space=" + runs.space,
            "--runtime=onnxruntime",
            "--int8",
            "--threads=1",
            "--out=" + table)
        .succeeded();
    LatencyTable measured = LatencyTable.load(table.toString());
    assertEquals("int8", measured.fingerprint().precision());
    measured.requireFits(SearchSpace.load(runs.space.toString()), warning -> {});
    Outcome verified =
        SmallRuns.run(
            "latency",
            "verify",
            "--space=" + runs.space,
            "--runtime=onnxruntime",
            "--threads=1",
            "--lut=" + table,
            "--networks=2");
    assertTrue(verified.succeeded().out().contains("mean relative error"));
    assertFalse(verified.err().contains("warning"), verified.err());
  }
}
