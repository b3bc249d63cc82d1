package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Searches and comparisons in which trainings or a table judge networks, and no supernet does. */
class EvaluatorTest {
  private static final double SPENT = 1e6;

  @TempDir Path folder;
  private SmallRuns runs;
  private SearchSpace space;
  private Path run;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    space = SearchSpace.load(runs.space.toString());
    run = folder.resolve("run");
  }

  private Outcome search(String... flags) {
    List<String> all = new ArrayList<>(List.of("search", "--space=" + runs.space, "--out=" + run));
    all.addAll(List.of(flags));
    return SmallRuns.run(all.toArray(String[]::new));
  }

  /** A mean accuracy that no sum over layers gives, and an evaluation that is off by a little. */
  private static double mean(int[] choice) {
    return 0.5 + 0.1 * ((7 * choice[0] + 3 * choice[1] * choice[2] + choice[2]) % 5);
  }

  private Path table(boolean macs) throws IOException {
    ObjectNode tree = JsonNodeFactory.instance.objectNode();
    tree.put("format", 1).put("space", space.name());
    ArrayNode list = tree.putArray("networks");
    for (int i = 0; i < 64; i++) {
      int[] choice = {i / 16, i / 4 % 4, i % 4};
      ObjectNode item = list.addObject();
      ArrayNode blocks = item.putArray("blocks");
      Arrays.stream(choice).forEach(k -> blocks.add(space.blockNames().get(k)));
      item.put("accuracy", mean(choice) - 0.001 * (i % 3)).put("mean_accuracy", mean(choice));
      if (macs) {
        item.put("spent_macs", SPENT);
      }
    }
    return Files.writeString(folder.resolve(macs ? "known.json" : "bare.json"), tree.toString());
  }

  private static void keepLines(Path log, int count) throws IOException {
    Files.write(log, Files.readAllLines(log).subList(0, count));
  }

  @Test
  void trainingsJudge() throws IOException {
    String[] flags = {
      "--lut=" + runs.table,
      "--data=" + runs.data,
      "--device=cpu",
      "--threads=1",
      "--batch=4",
      "--strategy=evolution",
      "--evaluator=train:1",
      "--evaluations=3",
      "--max-latency=120us"
    };
    Outcome found = search(flags);
    found.succeeded();
    assertTrue(found.out().contains("on the 10 test images"), found.out());
    Map<String, String> whole = SmallRuns.results(run);
    SamplesFile samples = SamplesFile.read(run.resolve("samples.json"));
    assertEquals(3, samples.samples().size());
    assertTrue(samples.samples().stream().allMatch(s -> s.latencyMs() <= 0.12));
    // Each of three networks was trained on 32 images and read on 8: both passes of every batch.
    List<ObjectNode> lines = MetricsLog.read(run.resolve("evaluations.jsonl"));
    for (ObjectNode line : lines) {
      int[] choice = new ObjectMapper().convertValue(line.path("choice"), int[].class);
      long macs = Description.of(Architecture.of("", space.withClasses(2), choice)).macs();
      double passes = line.path("macs").asDouble() / macs;
      assertTrue(passes > 2 * 32 + 8 && passes < 3 * 32 + 8, passes + " passes");
    }
    // Killed within the third network's training.
    keepLines(run.resolve("evaluations.jsonl"), 2);
    for (String name : List.of("architecture.json", "samples.json", "model.safetensors")) {
      Files.delete(run.resolve(name));
    }
    String last = lines.getLast().path("choice").toString().replaceAll("[\\[\\]]", "");
    Path third = run.resolve("networks").resolve(last.replace(',', '-'));
    Files.delete(third.resolve("model.safetensors"));
    SmallRuns.removeNewest(third.resolve("checkpoints"));
    SmallRuns.run("search", "--resume=" + run).succeeded();
    assertEquals(whole, SmallRuns.results(run));
    SmallRuns.run("sample", run.toString()).refused(2, "no supernet");
  }

  @Test
  void aTableJudges() throws IOException {
    Path table = table(true);
    search("--strategy=reinforce", "--evaluator=table:" + table, "--cost=9M").succeeded();
    List<ObjectNode> lines = MetricsLog.read(run.resolve("evaluations.jsonl"));
    assertEquals(9, lines.size());
    for (ObjectNode line : lines) {
      int[] choice = new ObjectMapper().convertValue(line.path("choice"), int[].class);
      assertEquals(mean(choice), line.path("accuracy").asDouble(), 0.0025);
    }
    assertFalse(Files.exists(run.resolve("latency.json")));
    Map<String, String> whole = SmallRuns.results(run);
    keepLines(run.resolve("evaluations.jsonl"), 4);
    Files.delete(run.resolve("architecture.json"));
    SmallRuns.run("search", "--resume=" + run).succeeded();
    assertEquals(whole, SmallRuns.results(run));
  }

  @Test
  void anOracleShowsRegret() throws IOException {
    Path table = table(false);
    Path out = folder.resolve("comparison");
    SmallRuns.run(
            "compare-strategies",
            "--strategies=random,evolution,ranked-evolution",
            "--seeds=1,2",
            "--space=" + runs.space,
            "--oracle=" + table,
            "--max-params=2k",
            "--evaluations=12",
            "--out=" + out)
        .succeeded();
    JsonNode results = new ObjectMapper().readTree(Files.readString(out.resolve("results.json")));
    assertEquals("regret", results.path("measure").asText());
    assertEquals(6, results.path("runs").size());
    double best = 0;
    for (int i = 0; i < 64; i++) {
      int[] choice = {i / 16, i / 4 % 4, i % 4};
      long parameters = Description.of(Architecture.of("", space, choice)).parameters();
      best = parameters <= 2000 ? Math.max(best, mean(choice)) : best;
    }
    for (JsonNode found : results.path("runs")) {
      int[] choice = new int[3];
      for (int l = 0; l < 3; l++) {
        choice[l] = space.blockNames().indexOf(found.path("blocks").path(l).asText());
      }
      assertEquals(100 * (best - mean(choice)), found.path("value").asDouble(), 1e-9);
      assertEquals(12, found.path("scored").asInt());
    }
    assertTrue(Files.readString(out.resolve("report.html")).contains("networks judged"));
    SmallRuns.remove(out.resolve("jobs").resolve("evolution-2"));
    SmallRuns.run("compare-strategies", "--resume=" + out).succeeded();
    JsonNode again = new ObjectMapper().readTree(Files.readString(out.resolve("results.json")));
    for (int i = 0; i < 6; i++) {
      assertEquals(
          results.path("runs").path(i).path("blocks"), again.path("runs").path(i).path("blocks"));
    }
  }

  @Test
  void wrongOnesAreRefused() throws IOException {
    Path bare = table(false);
    for (String wrong : List.of("train:0", "train:", "train:x", "table:", "supernets")) {
      search("--strategy=random", "--evaluator=" + wrong).refused(2, "--evaluator must be", wrong);
    }
    for (String strategy : List.of("fbnet", "single-path")) {
      search("--strategy=" + strategy, "--evaluator=train:2").refused(2, "trains a supernet");
    }
    String random = "--strategy=random";
    String known = "--evaluator=table:" + bare;
    search(random, "--evaluator=train:2", "--epochs=3").refused(2, "--epochs", "leave them out");
    search(random, known, "--sampling=fair").refused(2, "--sampling");
    search(random, known, "--max-latency=80us").refused(2, "--lut");
    search(random, known, "--cost=1M").refused(3, "spent_macs", "--evaluations");
    search(random, known, "--cost=5min").refused(2, "multiply-adds");
    search(random, known, "--dry-run").refused(2, "--dry-run");
    search(random, "--evaluator=table:none.json").refused(3, "none.json");
    search(random, known, "--max-params=10").refused(3, "least possible");
    SmallRuns.run("compare-strategies", "--strategies=fbnet,random", "--oracle=" + bare)
        .refused(2, "--strategy fbnet trains a supernet");
    SmallRuns.run(
            "compare-strategies", "--strategies=random", "--oracle=" + bare, "--evaluator=train:1")
        .refused(2, "do not go together");
    SmallRuns.run("compare-strategies", "--strategies=random", "--oracle=" + bare, "--train=1")
        .refused(2, "leave it out");
    assertFalse(Files.exists(run));
  }
}
