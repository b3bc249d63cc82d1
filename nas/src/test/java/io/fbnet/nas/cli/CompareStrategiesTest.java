package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.run.RunFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Comparisons of seconds: equal costs, results of all searches, and what is done is not repeated.
 */
class CompareStrategiesTest {
  private static final double COST = 1e8;

  @TempDir Path folder;
  private SmallRuns runs;
  private Path out;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    out = folder.resolve("comparison");
  }

  private Outcome compare(String... given) {
    List<String> usual =
        List.of(
            "--space=" + runs.space,
            "--lut=" + runs.table,
            "--data=" + runs.data,
            "--device=cpu",
            "--threads=1",
            "--batch=4",
            "--strategies=fbnet,tf-nas,random",
            "--seeds=3,4",
            "--evaluations=4",
            "--cost=" + COST,
            "--out=" + out);
    List<String> all = new ArrayList<>(List.of("compare-strategies"));
    for (String flag : usual) {
      String name = flag.substring(0, flag.indexOf('='));
      if (Stream.of(given).noneMatch(g -> g.startsWith(name))) {
        all.add(flag);
      }
    }
    Stream.of(given).filter(flag -> !flag.endsWith("=none")).forEach(all::add);
    return SmallRuns.run(all.toArray(String[]::new));
  }

  private JsonNode results() throws IOException {
    JsonNode tree = new ObjectMapper().readTree(Files.readString(out.resolve("results.json")));
    // What no two processes have in common.
    for (String list : List.of("runs", "strategies")) {
      tree.path(list).forEach(item -> ((ObjectNode) item).remove("seconds"));
    }
    return tree;
  }

  @Test
  void searchesOfEqualCostOfWhichNoneIsDoneTwice() throws IOException {
    Path recipe = Files.writeString(folder.resolve("recipe.yaml"), "epochs: 1\nbatch: 4\n");
    compare("--train=2", "--recipe=" + recipe).succeeded();
    JsonNode whole = results();
    assertEquals(6, whole.path("runs").size());
    assertEquals(0, whole.path("missing").asInt());
    assertEquals("random", whole.path("base").asText());
    for (JsonNode run : whole.path("runs")) {
      String what = run.toString();
      // A step an epoch may be left of it, and paths from theta are other than uniform ones.
      assertTrue(run.path("macs").asDouble() > 0.8 * COST, what);
      assertTrue(run.path("macs").asDouble() < 1.1 * COST, what);
      assertEquals(4, run.path("scored").asInt(), what);
      assertTrue(run.path("value").isNumber(), what);
    }
    for (JsonNode strategy : whole.path("strategies")) {
      assertEquals(!strategy.path("name").asText().equals("random"), strategy.has("difference"));
    }
    for (String seed : List.of("3", "4")) {
      Path child = out.resolve("jobs").resolve("random-" + seed).resolve("children").resolve("01");
      List<String> lines = Files.readAllLines(child.resolve("config.yaml"));
      assertTrue(lines.contains("seed: " + seed), "a recipe's seed is its search's: " + lines);
    }
    String page = Files.readString(out.resolve("report.html"));
    for (String words : List.of("Strategies compared", "tf-nas", "Best so far against cost")) {
      assertTrue(page.contains(words), words);
    }
    assertFalse(page.contains("NaN"), "no number in the page");

    // One is begun, one lacks its children, one is not begun: the others stay as they are.
    Path begun = out.resolve("jobs").resolve("tf-nas-4");
    Files.delete(begun.resolve("samples.json"));
    Files.delete(begun.resolve("children.json"));
    SmallRuns.removeNewest(begun.resolve("checkpoints"));
    Files.delete(out.resolve("jobs").resolve("random-3").resolve("children.json"));
    SmallRuns.remove(out.resolve("jobs").resolve("fbnet-3"));
    Path kept = out.resolve("jobs").resolve("random-4").resolve("samples.json");
    FileTime before = Files.getLastModifiedTime(kept);
    Outcome resumed = SmallRuns.run("compare-strategies", "--resume=" + out);
    resumed.succeeded();
    assertEquals(whole, results());
    assertEquals(before, Files.getLastModifiedTime(kept));
    assertEquals(3, resumed.err().lines().filter(line -> line.contains(": search ")).count());
    assertTrue(resumed.out().contains("against random"), resumed.out());
  }

  @Test
  void whatAnotherProcessHoldsIsLeftToIt() throws IOException {
    compare("--strategies=random,single-path", "--seeds=1").succeeded();
    Path job = out.resolve("jobs").resolve("random-1");
    Files.delete(job.resolve("samples.json"));
    try (RunFolder held = RunFolder.open(job)) {
      assertTrue(RunFolder.isHeld(held.root()));
      Outcome beside = SmallRuns.run("compare-strategies", "--resume=" + out);
      beside.succeeded();
      assertTrue(beside.err().contains("another process is at it"), beside.err());
      assertEquals(1, results().path("missing").asInt());
    }
    SmallRuns.run("compare-strategies", "--resume=" + out).succeeded();
    assertEquals(0, results().path("missing").asInt());
    Path page = folder.resolve("page.html");
    Path other = out.resolve("jobs").resolve("single-path-1");
    SmallRuns.run("report", job.toString(), other.toString(), "--out=" + page).succeeded();
    for (String words : List.of("single-path", "random", "shared weights", "seeds: 1")) {
      assertTrue(Files.readString(page).contains(words), words);
    }
    SmallRuns.run("report", job.toString(), job.toString(), "--out=" + page).succeeded();
    assertTrue(Files.readString(page).contains(job.toString()), "runs of one strategy and seed");
    SmallRuns.run("report", job.toString(), other.toString()).refused(2, "--out is missing");
    SmallRuns.run("report", out.toString()).refused(2, "compare-strategies --resume");
    SmallRuns.run("search", "--resume=" + out).refused(2, "compare-strategies --resume");
    SmallRuns.run("compare-strategies", "--resume=" + job).refused(2, "search --resume");
    SmallRuns.run("compare-strategies", "--resume=" + out, "--seeds=7").refused(2, "--seeds");
  }

  @Test
  void wrongOnesAreRefusedBeforeAnythingIsDone() {
    compare("--strategies=none").refused(2, "--strategies is missing");
    compare("--strategies=fbnet,fbnt").refused(2, "there is no --strategy 'fbnt'", "fbnet");
    compare("--strategies=fbnet,fbnet").refused(2, "--strategies names fbnet twice");
    compare("--seeds=1,1").refused(2, "--seeds names 1 twice");
    compare("--base=rnn").refused(2, "--base rnn is none of the --strategies");
    compare("--cost=none").refused(2, "--cost is missing");
    compare("--cost=20 furlongs").refused(2, "--cost must be multiply-adds");
    compare("--cost=1k").refusedAtTheEnd(2, "does not suffice", "scoring 4 networks");
    compare("--train=5").refused(2, "--train 5 is more than the --evaluations 4");
    compare("--recipe=some.yaml").refused(2, "--recipe needs --train K");
    compare("--epochs=3").refused(2, "--epochs");
    assertFalse(Files.exists(out));
  }
}
