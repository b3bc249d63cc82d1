package io.fbnet.nas.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.run.RunFiles;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.SamplesFile.Sample;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.Block;
import io.fbnet.nas.space.BlockType;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Pages of runs that are made up, whole and in part. */
class ReportTest {
  private static final SearchSpace SPACE = SearchSpace.load("fashion");

  @TempDir Path folder;

  private RunFiles run(String config) throws IOException {
    RunFiles files = new RunFiles(folder);
    Files.writeString(files.config(), config);
    return files;
  }

  private static void table(RunFiles files, String device, boolean relative) {
    double[][] ms = new double[9][9];
    for (double[] row : ms) {
      Arrays.setAll(row, k -> 0.01 * (k + 1));
    }
    LatencyTable.builder(device, SPACE)
        .fixed(0.05)
        .layers(ms)
        .relative(relative)
        .build()
        .write(files.latency());
  }

  private static void steps(RunFiles files, int epochs, int steps, Map<String, ?> more) {
    Random random = new Random(3);
    try (MetricsLog log = MetricsLog.open(files.metrics())) {
      long step = 0;
      for (int epoch = 0; epoch < epochs; epoch++) {
        for (String phase : List.of("w", "theta")) {
          for (int i = 0; i < steps; i++) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("epoch", epoch);
            line.put("phase", phase);
            line.put("loss", i == 7 ? Double.NaN : 1.5 + random.nextGaussian() / 9);
            line.put("accuracy", random.nextDouble());
            line.put("latency_ms", 0.3 + random.nextDouble() / 9);
            line.put("tau", 5.0 / (epoch + 1));
            line.putAll(more);
            log.append(++step, line);
          }
        }
        double[][] theta = new double[9][9];
        for (double[] row : theta) {
          Arrays.setAll(row, k -> random.nextGaussian());
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("epoch", epoch);
        line.put("phase", "epoch");
        line.put("expected_ms", 0.35);
        line.put("entropy_bits", 2.5);
        line.put("theta", theta);
        log.append(step, line);
      }
    }
  }

  private static Sample sample(double ms, double accuracy, boolean uniform, boolean best) {
    List<Block> blocks = Collections.nCopies(9, BlockType.FBNET.get(3));
    return new Sample(blocks, ms, accuracy, 1, uniform ? "uniform" : "theta", best);
  }

  private String page(RunFiles files) throws IOException {
    Report.write(files.root(), files.report());
    return Files.readString(files.report());
  }

  private static int count(String text, String pattern) {
    return (int) Pattern.compile(pattern).matcher(text).results().count();
  }

  @Test
  void aWholeRun() throws IOException {
    RunFiles files = run("space: fashion\nepochs: 3\n");
    table(files, "a box", false);
    steps(files, 3, 50, Map.of());
    Architecture.of("", SPACE, new int[] {0, 1, 2, 3, 4, 5, 6, 7, 8}).write(files.architecture());
    new SamplesFile(
            List.of(
                sample(0.3, 0.6, false, false),
                sample(0.4, 0.8, false, true),
                sample(0.5, 0.7, false, false),
                sample(0.6, 0.5, true, false)),
            0.75,
            1000)
        .write(files.samples());
    String page = page(files);
    assertFalse(page.contains("class=\"missing\""), page);
    assertEquals(81, count(page, "data-cell="));
    assertEquals(9, count(page, "class=\"chosen\""));
    assertEquals(3, count(page, "<figcaption>epoch \\d"));
    assertEquals(2, count(page, "class=\"point [a-z ]*pareto"));
    assertEquals(1, count(page, "class=\"point uniform\""));
    assertEquals(1, count(page, "pareto star\""));
    // Latency: nine blocks and what is fixed; multiply-adds: stem, nine, head, classifier.
    assertEquals(10, count(page, "class=\"bar latency"));
    assertEquals(12, count(page, "class=\"bar macs"));
    for (String words : List.of("75.0%", "1,000 images", "a box", "Temperature", "not validated")) {
      assertTrue(page.contains(words), words);
    }
    assertFalse(page.contains("class=\"target"), "no target was set");
    assertFalse(page.contains("lambda"), "no lambda was logged");
    assertFalse(page.contains("NaN"), "a step without a number is left out");
  }

  @Test
  void aRelativeTableHasNoShares() throws IOException {
    RunFiles files = run("space: fashion\nepochs: 1\n");
    table(files, "a box", true);
    steps(files, 1, 9, Map.of());
    Architecture.of("", SPACE, new int[9]).write(files.architecture());
    String page = page(files);
    assertEquals(0, count(page, "class=\"bar latency"));
    assertEquals(12, count(page, "class=\"bar macs"));
    assertTrue(page.contains("skip has no share of the latency to draw"), page);
  }

  @Test
  void fieldsOfLaterVersionsAreDrawn() throws IOException {
    RunFiles files = run("space: fashion\nepochs: 1\n");
    table(files, "a box", false);
    steps(files, 1, 60, Map.of("target_ms", 0.33, "lambda", 0.01, "what_else", "words"));
    String page = page(files);
    assertEquals(1, count(page, "<line class=\"target\""));
    assertTrue(page.contains("Weight of the target, lambda"), page);
  }

  @Test
  void anUnfinishedRunSaysWhatIsMissing() throws IOException {
    RunFiles files = run("space: fashion\nepochs: 4\n");
    String empty = page(files);
    for (String words :
        List.of("0 of 4 epochs are done", "No latency table", "No step", "No samp")) {
      assertTrue(empty.contains(words), words);
    }
    table(files, "a box", false);
    steps(files, 2, 20, Map.of());
    Files.writeString(
        files.metrics(), Files.readString(files.metrics()) + "{\"format\":1,\"step\":99,\"lo");
    String half = page(files);
    assertTrue(half.contains("2 of 4 epochs are done"), half);
    assertTrue(half.contains("No samples yet: fbnet sample RUN"), half);
    assertEquals(81, count(half, "data-cell="));
  }

  @Test
  void whatFilesHoldCannotBecomeMarkup() throws IOException {
    RunFiles files = run("space: \"<script>alert(1)</script>\"\ndata: \"\\\" onload='x' &amp;\"\n");
    table(files, "<img src=x onerror=alert(1)>", false);
    String page = page(files);
    assertEquals(1, count(page, "<script>"));
    assertEquals(0, count(page, "<img"));
    assertTrue(page.contains("&lt;img src=x onerror=alert(1)&gt;"), page);
    assertTrue(page.contains("&quot; onload=&#39;x&#39; &amp;amp;"), page);
  }

  @Test
  void manyStepsAreThinned() throws IOException {
    RunFiles files = run("space: fashion\nepochs: 120\n");
    table(files, "a box", false);
    steps(files, 120, 150, Map.of("lambda", 0.1, "ce", 1.0, "rate", 0.1));
    String page = page(files);
    assertTrue(page.length() < 1_000_000, page.length() + " characters");
    assertEquals(12, count(page, "<figcaption>epoch \\d"));
    assertTrue(page.contains("<figcaption>epoch 120"), "the last epoch is always there");
  }

  @Test
  void nothingIsLoaded() throws IOException {
    RunFiles files = run("space: fashion\n");
    steps(files, 1, 9, Map.of());
    String page = page(files);
    assertTrue(page.contains("default-src &#39;none&#39;"), page);
    assertEquals(0, count(page, "https?://|@import|<link(?! rel=\"icon\" href=\"data:,\")|src="));
  }

  @Test
  void aFolderThatIsNoRunAndWrongFilesAreRefused() throws IOException {
    Refusals.refused(
        ExitCode.USAGE, () -> Report.write(folder, folder.resolve("r.html")), "holds no run");
    RunFiles files = run("space: fashion\n");
    Files.writeString(files.samples(), "{\"format\": 9}");
    Refusals.data(() -> Report.write(folder, files.report()), "samples.json");
    Files.delete(files.samples());
    Files.writeString(files.metrics(), "no json\n");
    Refusals.data(() -> Report.write(folder, files.report()), "metrics.jsonl, line 1");
    assertFalse(Files.exists(files.report()));
    Files.delete(files.metrics());
    Files.writeString(folder.resolve("file"), "");
    Refusals.refused(
        ExitCode.STORAGE,
        () -> Report.write(folder, folder.resolve("file").resolve("r.html")),
        "cannot write");
  }
}
