package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.model.TrainedNetwork;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Training, evaluating and choosing children as a user types it. */
@EnabledOnOs(OS.LINUX)
class TrainIT {
  private static final long SEED = 20260413L;
  private static final int KILLS = 4;
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;
  private Fbnet fbnet;
  private Path architecture;

  @BeforeEach
  void prepare() throws IOException {
    fbnet = new Fbnet(folder);
    architecture = folder.resolve("net.json");
    Files.writeString(
        architecture,
        "{\"name\": \"tiny\", \"space\": \""
            + fbnet.tinySpace().getFileName()
            + "\", \"blocks\": [\"k3_e1_g2\", \"skip\", \"skip\", \"k5_e3\"]}");
  }

  /** Everything at once: gathered gradients, average, smoothing, steps, warm-up, hold-out. */
  private String[] training(Path run, int epochs, String... more) {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "train",
                architecture.toString(),
                "--data=shapes",
                "--train-images=480",
                "--hold-out=0.2",
                "--epochs=" + epochs,
                "--batch=8",
                "--accumulate=2",
                "--ema=0.95",
                "--label-smoothing=0.1",
                "--schedule=step",
                "--steps=3,5",
                "--warmup-epochs=1",
                "--threads=2",
                "--out=" + run));
    arguments.addAll(List.of(more));
    return arguments.toArray(String[]::new);
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

  private static void same(Path expected, Path actual) throws IOException {
    assertEquals(
        Files.readString(expected.resolve("metrics.jsonl")),
        Files.readString(actual.resolve("metrics.jsonl")),
        "metrics, seed " + SEED);
    assertEquals(
        -1,
        Files.mismatch(expected.resolve("model.safetensors"), actual.resolve("model.safetensors")),
        "model, seed " + SEED);
  }

  @Test
  @Tag("full")
  void killedAndStoppedItContinuesBitForBit() throws Exception {
    Path unbroken = folder.resolve("unbroken");
    done(training(unbroken, 6));
    Path broken = folder.resolve("broken");
    Random random = new Random(SEED);
    int killed = 0;
    for (int i = 0; i < KILLS; i++) {
      boolean first = !Files.exists(broken.resolve("config.yaml"));
      Path err = folder.resolve("killed.err");
      String[] arguments =
          first ? training(broken, 6) : new String[] {"train", "--resume", broken.toString()};
      Process process = fbnet.start(folder.resolve("killed.out"), err, arguments);
      while (process.isAlive() && !Files.readString(err).contains("run folder")) {
        Thread.sleep(2);
      }
      Thread.sleep(random.nextInt(300));
      killed += process.isAlive() ? 1 : 0;
      process.destroyForcibly();
      assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    }
    assertTrue(killed > 0, "no kill fell inside the training, seed " + SEED);
    done("train", "--resume", broken.toString());
    same(unbroken, broken);

    refused(
        2, "cannot be given with --resume", "train", "--resume", broken.toString(), "--epochs=9");
    String net = architecture.toString();
    refused(2, "cannot be given with --resume", "train", net, "--resume", broken.toString());
    refused(2, "train --resume", "search", "--resume", broken.toString());
    refused(2, "never overwritten", training(broken, 6));
  }

  @Test
  @Tag("full")
  void aSignalSavesAndNamesTheWayBack() throws Exception {
    Path unbroken = folder.resolve("unbroken");
    done(training(unbroken, 40));
    Path run = folder.resolve("run");
    Path err = folder.resolve("signal.err");
    Process process = fbnet.start(folder.resolve("signal.out"), err, training(run, 40));
    Path metrics = run.resolve("metrics.jsonl");
    while (process.isAlive() && (!Files.exists(metrics) || Files.size(metrics) == 0)) {
      Thread.sleep(2);
    }
    new ProcessBuilder("kill", "-TERM", Long.toString(process.pid())).start().waitFor();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "hangs after SIGTERM");
    String said = Files.readString(err);
    assertEquals(143, process.exitValue(), said);
    assertTrue(said.contains("fbnet train --resume " + run), said);
    done("train", "--resume", run.toString());
    same(unbroken, run);
  }

  @Test
  void aRateThatIsTooHighEndsWithAReport() throws Exception {
    Path run = folder.resolve("run");
    refused(6, "diverged", training(run, 6, "--rate=1e30"));
    JsonNode report = JSON.readTree(run.resolve("diverged").resolve("report.json").toFile());
    assertTrue(report.path("tensors").size() > 0);
  }

  @Test
  @Tag("full")
  void evaluateSaysWhatTheTrainingSaid() throws Exception {
    Path run = folder.resolve("run");
    done(training(run, 6));
    TrainedNetwork network = TrainedNetwork.read(run.resolve("model.safetensors"));
    JsonNode json = JSON.readTree(done(fbnet.run("evaluate", run.toString(), "--json")).out());
    assertEquals(network.testAccuracy().getAsDouble(), json.path("top1").asDouble(), 1e-12);
    assertTrue(json.path("latency_ms").asDouble() > 0);
    int right = 0;
    int images = 0;
    for (int c = 0; c < 10; c++) {
      JsonNode row = json.path("classes").path(c).path("taken_for");
      right += row.path(c).asInt();
      for (JsonNode taken : row) {
        images += taken.asInt();
      }
    }
    assertEquals(1000, images);
    assertEquals(json.path("top1").asDouble(), (double) right / images, 1e-12);
    String model = run.resolve("model.safetensors").toString();
    String text = done("evaluate", model, "--no-latency", "--split=train").out();
    assertTrue(text.startsWith("train images of shapes (generated): "), text);
    assertFalse(text.contains("ms an image"), text);

    refused(3, "no model.safetensors", "evaluate", folder.toString());
    refused(3, "there is no file", "evaluate", folder.resolve("none.safetensors").toString());
    Path renamed = folder.resolve("renamed.safetensors");
    done("import", model, "--classes=0,1,2,3,4,5,6,7,8,9", "--out=" + renamed);
    refused(3, "does not know 'disc'", "evaluate", renamed.toString());
    Path unnamed = folder.resolve("unnamed.safetensors");
    done("import", model, "--trained-on=holidays", "--out=" + unnamed);
    refused(2, "--data", "evaluate", unnamed.toString());
  }

  @Test
  void aSampleIsTrainedAndTheBestIsKept() throws Exception {
    Path space = fbnet.tinySpace();
    Path table = fbnet.tinyTable();
    Path run = folder.resolve("search");
    done(Fbnet.tinySearch(space, table, run));
    String[] sample = {
      "sample", run.toString(), "--train=3", "--epochs=2", "--batch=16", "--ema=0.9"
    };
    Path err = folder.resolve("sample.err");
    Process process = fbnet.start(folder.resolve("sample.out"), err, sample);
    while (process.isAlive() && !Files.readString(err).contains("02, seed")) {
      Thread.sleep(2);
    }
    process.destroyForcibly();
    assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    Fbnet.Outcome outcome = done(sample);
    assertTrue(outcome.err().contains("child 1 of 3 is trained already"), outcome.err());
    assertTrue(outcome.out().contains("Kept child"), outcome.out());
    TrainedNetwork best = TrainedNetwork.read(run.resolve("model.safetensors"));
    assertTrue(best.testAccuracy().isPresent() && best.latency().isPresent());
    Path child = run.resolve("children").resolve("01");
    assertTrue(
        TrainedNetwork.read(child.resolve("model.safetensors")).testAccuracy().isEmpty(),
        "the test images are read for the kept one alone");

    // The child is what a training with the same flags makes, bit for bit, in another process too.
    Path twin = folder.resolve("twin");
    done(
        fbnet.run(
            "train",
            child.resolve("architecture.json").toString(),
            "--data=shapes",
            "--train-images=480",
            "--hold-out=0.2",
            "--epochs=2",
            "--batch=16",
            "--ema=0.9",
            "--threads=2",
            "--out=" + twin));
    assertEquals(
        Files.readString(twin.resolve("metrics.jsonl")),
        Files.readString(child.resolve("metrics.jsonl")));
    refused(2, "other flags", "sample", run.toString(), "--train=3", "--epochs=3", "--batch=16");
    refused(2, "--train", "sample", run.toString(), "--ema=0.9");
    refused(2, "together", "sample", run.toString(), "--train=2", "--uniform");
  }
}
