package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.data.TestShards;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What users are told of uneven classes, and what flags and files say of what is done. */
class UnevenClassesTest {
  private static final String WARNING = "warning: '0' has ";
  private static final int RARE = 3;

  @TempDir Path folder;
  private SmallRuns runs;
  private Path uneven;
  private Path architecture;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    uneven = SmallRuns.images(folder.resolve("uneven"), 100, 1);
    labels("train", 100, RARE);
    labels("t10k", 10, 2);
    architecture =
        Files.writeString(
            folder.resolve("net.json"),
            "{\"name\": \"net\", \"space\": \"tiny.yaml\","
                + " \"blocks\": [\"k3_e1\", \"k3_e1\", \"skip\"]}");
  }

  /** Labels of which the last are of class 1. */
  private void labels(String split, int count, int rare) throws IOException {
    ByteBuffer labels = ByteBuffer.allocate(8 + count).putInt(0x801).putInt(count);
    for (int i = 0; i < count; i++) {
      labels.put((byte) (i < count - rare ? 0 : 1));
    }
    Files.write(uneven.resolve(split + "-labels-idx1-ubyte"), labels.array());
  }

  private Outcome train(String out, String... more) {
    List<String> all =
        new ArrayList<>(
            List.of(
                "train",
                architecture.toString(),
                "--device=cpu",
                "--threads=1",
                "--epochs=1",
                "--batch=4",
                "--out=" + folder.resolve(out)));
    all.addAll(List.of(more));
    if (Stream.of(more).noneMatch(flag -> flag.startsWith("--data="))) {
      all.add("--data=" + uneven);
    }
    return SmallRuns.run(all.toArray(String[]::new));
  }

  private static long warnings(Outcome outcome) {
    return outcome.err().lines().filter(line -> line.contains(WARNING)).count();
  }

  private void says(String run, String... lines) throws IOException {
    List<String> config = Files.readAllLines(folder.resolve(run).resolve("config.yaml"));
    for (String line : lines) {
      assertTrue(config.contains(line), config.toString());
    }
  }

  @Test
  void aSearchWarnsOnceUnlessSomethingIsDone() throws IOException {
    Path out = folder.resolve("plain");
    Outcome plain = runs.search("--data=" + uneven, "--out=" + out).succeeded();
    assertEquals(1, warnings(plain), plain.err());
    // Of 80 images that train w.
    assertTrue(plain.err().contains(WARNING + "78 training images and '1' 2,"), plain.err());
    assertTrue(plain.err().contains("--class-weights balanced"), plain.err());
    says("plain", "class-weights: \"none\"", "class-sampling: \"none\"");
    assertEquals(1, warnings(runs.search("--data=" + uneven, "--dry-run").succeeded()));
    assertEquals(0, warnings(runs.search("--dry-run").succeeded()), "even ones");

    for (String flag : List.of("class-weights", "class-sampling")) {
      String given = "--" + flag + "=balanced";
      Outcome done =
          runs.search("--data=" + uneven, given, "--out=" + folder.resolve(flag)).succeeded();
      assertEquals(0, warnings(done), done.err());
      says(flag, flag + ": \"balanced\"");
      runs.search("--data=" + uneven, given, "--dry-run").succeeded();
      SmallRuns.run("search", "--resume", folder.resolve(flag).toString()).succeeded();
      SmallRuns.run("search", "--resume", folder.resolve(flag).toString(), "--" + flag + "=none")
          .refused(2, "cannot be given with --resume");
    }
    assertEquals(0, warnings(SmallRuns.run("search", "--resume", out.toString()).succeeded()));
  }

  @Test
  void aTrainingWarnsAndKeepsItsFlags() throws IOException {
    assertEquals(1, warnings(train("plain").succeeded()));
    assertEquals(0, warnings(train("weighted", "--class-weights=balanced").succeeded()));
    assertEquals(0, warnings(train("drawn", "--class-sampling=balanced").succeeded()));
    says("weighted", "class-weights: \"balanced\"", "class-sampling: \"none\"");
    says("drawn", "class-weights: \"none\"", "class-sampling: \"balanced\"");
    Path recipe = Files.writeString(folder.resolve("c.yaml"), "class-weights: balanced\n");
    assertEquals(0, warnings(train("by file", "--config=" + recipe).succeeded()));
    String metrics = Files.readString(folder.resolve("weighted/metrics.jsonl"));
    assertEquals(metrics, Files.readString(folder.resolve("by file/metrics.jsonl")));
    for (String other : List.of("plain", "drawn")) {
      assertNotEquals(metrics, Files.readString(folder.resolve(other).resolve("metrics.jsonl")));
    }
    assertNotEquals(
        Files.readString(folder.resolve("plain/metrics.jsonl")),
        Files.readString(folder.resolve("drawn/metrics.jsonl")));
    Files.writeString(recipe, "class-weights: balancd\n");
    train("wrong", "--config=" + recipe).refused(3, "line 1", "did you mean 'balanced'");
    for (String run : List.of("weighted", "drawn")) {
      String root = folder.resolve(run).toString();
      Path model = folder.resolve(run).resolve("model.safetensors");
      byte[] whole = Files.readAllBytes(model);
      Files.delete(model);
      SmallRuns.removeNewest(folder.resolve(run).resolve("checkpoints"));
      Outcome resumed = SmallRuns.run("train", "--resume", root).succeeded();
      assertEquals(0, warnings(resumed), resumed.err());
      assertTrue(resumed.err().contains("resumed after step"), resumed.err());
      assertArrayEquals(whole, Files.readAllBytes(model), run);
    }
  }

  @Test
  void childrenAreTrainedAsIsAsked() throws IOException {
    Path run = folder.resolve("run");
    runs.search("--data=" + uneven, "--out=" + run).succeeded();
    String[] plain = {"sample", run.toString(), "--train=1", "--epochs=1", "--batch=4"};
    String[] weighted =
        Stream.concat(Stream.of(plain), Stream.of("--class-weights=balanced"))
            .toArray(String[]::new);
    assertEquals(0, warnings(SmallRuns.run(weighted).succeeded()));
    says("run/children/01", "class-weights: \"balanced\"");
    SmallRuns.run(plain).refusedAtTheEnd(2, "begun with other flags (then class-weights");
    SmallRuns.remove(run.resolve("children"));
    assertEquals(1, warnings(SmallRuns.run(plain).succeeded()));
    SmallRuns.run(weighted).refusedAtTheEnd(2, "begun with other flags (then class-weights");
    // An older version knew neither flag.
    Path config = run.resolve("children/01/config.yaml");
    List<String> lines = new ArrayList<>(Files.readAllLines(config));
    assertTrue(lines.removeIf(line -> line.startsWith("class-")));
    Files.write(config, lines);
    Outcome again = SmallRuns.run(plain).succeeded();
    assertTrue(again.err().contains("child 1 of 1 is trained already"), again.err());
    SmallRuns.run(weighted).refusedAtTheEnd(2, "begun with other flags (then class-weights");
    // What is off leaves no line, so the child's own are looked through too.
    lines.add("jitter: 0.5");
    Files.write(config, lines);
    SmallRuns.run(plain).refusedAtTheEnd(2, "then jitter: 0.5, now no jitter");
    SmallRuns.run("sample", run.toString(), "--class-weights=balanced")
        .refused(2, "--class-weights needs --train K");
  }

  @Test
  void trainingsThatJudgeDoTheSame() throws IOException {
    String[] flags = {
      "search",
      "--space=" + runs.space,
      "--lut=" + runs.table,
      "--data=" + uneven,
      "--device=cpu",
      "--threads=1",
      "--batch=4",
      "--strategy=random",
      "--evaluations=1",
      "--evaluator=train:1"
    };
    for (boolean sampled : new boolean[] {false, true}) {
      String name = sampled ? "sampled" : "plain";
      List<String> all = new ArrayList<>(List.of(flags));
      all.add("--out=" + folder.resolve(name));
      if (sampled) {
        all.add("--class-sampling=balanced");
      }
      Outcome outcome = SmallRuns.run(all.toArray(String[]::new)).succeeded();
      assertEquals(sampled ? 0 : 1, warnings(outcome), outcome.err());
      try (Stream<Path> networks = Files.list(folder.resolve(name).resolve("networks"))) {
        Path network = folder.relativize(networks.findFirst().orElseThrow());
        says(
            network.toString(),
            "class-weights: \"none\"",
            "class-sampling: \"" + (sampled ? "balanced" : "none") + "\"");
      }
    }
  }

  @Test
  void bothAtOnceAndShardsAreRefused() throws IOException {
    String[] both = {"--class-weights=balanced", "--class-sampling=balanced"};
    runs.search(both).refused(2, "do not go together");
    train("both", both).refused(2, "do not go together");
    runs.search("--class-weights=even").refused(2, "--class-weights");
    Path shards = TestShards.folder(folder.resolve("shards"), 2, 20);
    for (String[] more : new String[][] {{"--dry-run"}, {"--out=" + folder.resolve("sharded")}}) {
      runs.search("--data=" + shards, "--class-sampling=balanced", more[0])
          .refusedAtTheEnd(2, "--class-sampling balanced", "shards", "--class-weights balanced");
    }
    assertFalse(Files.exists(folder.resolve("sharded")));
    train("sharded", "--data=" + shards, "--class-sampling=balanced")
        .refusedAtTheEnd(2, "--class-sampling balanced", "shards");
    runs.search(
            "--data=" + shards,
            "--class-weights=balanced",
            "--out=" + folder.resolve("weighted shards"))
        .succeeded();
  }

  @Test
  void aCheckWarnsAndFindsNoProblem() {
    Outcome check =
        SmallRuns.run("data", "check", "--data=" + uneven, "--space=" + runs.space).succeeded();
    assertEquals(1, warnings(check), check.err());
    assertTrue(check.err().contains("97 training images and '1' " + RARE + ","), check.err());
    assertTrue(check.out().contains("no problem found"), check.out());
    Outcome even =
        SmallRuns.run("data", "check", "--data=" + runs.data, "--space=" + runs.space).succeeded();
    assertEquals("", even.err());
  }

  @Test
  void anEvaluationSaysEachClassAndTheirMean() throws IOException {
    train("run", "--class-weights=balanced").succeeded();
    String[] evaluate = {
      "evaluate",
      folder.resolve("run").toString(),
      "--data=" + uneven,
      "--device=cpu",
      "--threads=1",
      "--no-latency",
      "--json"
    };
    JsonNode tree = new ObjectMapper().readTree(SmallRuns.run(evaluate).succeeded().out());
    double sum = 0;
    int[] images = {8, 2};
    for (int c = 0; c < 2; c++) {
      JsonNode item = tree.path("classes").path(c);
      assertEquals(images[c], item.path("images").asInt());
      double recall = item.path("right").asDouble() / images[c];
      assertEquals(recall, item.path("recall").asDouble(), 1e-12);
      sum += recall / 2;
    }
    assertEquals(sum, tree.path("balanced_accuracy").asDouble(), 1e-12);
    // Without images of a class.
    labels("t10k", 10, 0);
    tree = new ObjectMapper().readTree(SmallRuns.run(evaluate).succeeded().out());
    assertTrue(tree.path("classes").path(1).path("recall").isNull());
    assertEquals(tree.path("top1"), tree.path("balanced_accuracy"));
    evaluate[evaluate.length - 1] = "--batch=5";
    String text = SmallRuns.run(evaluate).succeeded().out();
    assertTrue(text.contains("1 of 2 classes have no images here"), text);
    assertTrue(text.contains("recall   images"), text);
    assertTrue(
        text.lines().anyMatch(line -> line.startsWith(" 1 ") && line.endsWith("-        0")), text);
  }
}
