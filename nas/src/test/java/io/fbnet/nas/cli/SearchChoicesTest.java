package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.search.Course;
import io.fbnet.nas.search.SamplesFile;
import io.fbnet.nas.search.SamplesFile.Sample;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is scored at the end of a search, what it is set beside, and on what children train. */
class SearchChoicesTest {
  @TempDir Path folder;
  private SmallRuns runs;
  private Path run;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
    run = folder.resolve("run");
  }

  private List<Sample> samples(boolean uniform) {
    return SamplesFile.read(run.resolve("samples.json")).samples().stream()
        .filter(sample -> sample.uniform() == uniform)
        .toList();
  }

  @Test
  void aLatencyThatNothingGoesBeyond() throws IOException {
    Outcome searched =
        runs.search("--max-latency=85us", "--target-latency=85us", "--samples=5", "--out=" + run);
    searched.succeeded();
    for (Sample sample : samples(false)) {
      double ms = sample.latencyMs();
      assertTrue(ms <= 0.085 && ms >= 0.95 * 0.085, ms + " ms");
    }
    assertTrue(searched.out().contains("of the most allowed, 0.0850 ms"), searched.out());
    String config = Files.readString(run.resolve("config.yaml"));
    assertTrue(config.contains("max-latency: \"85us\""), config);
    String lines = Files.readString(run.resolve("metrics.jsonl"));
    assertTrue(lines.contains("\"max_ms\":0.085"), lines);
    SmallRuns.run("search", "--resume=" + run).succeeded();
    SmallRuns.run("sample", run.toString(), "--count=9", "--uniform").succeeded();
    for (boolean uniform : new boolean[] {false, true}) {
      for (Sample sample : samples(uniform)) {
        assertTrue(sample.latencyMs() <= 0.085 && sample.latencyMs() >= 0.95 * 0.085);
      }
    }
    Path alone = folder.resolve("alone");
    runs.search("--max-latency=70us", "--samples=3", "--out=" + alone).succeeded();
    for (Sample sample : SamplesFile.read(alone.resolve("samples.json")).samples()) {
      assertTrue(sample.latencyMs() <= 0.070);
    }
  }

  @Test
  void limitsOfLatencyThatCannotBeKept() {
    runs.search("--max-latency=70us", "--target-latency=80us", "--out=" + run)
        .refused(2, "--max-latency 70us lies below --target-latency 80us");
    runs.search("--max-latency=70", "--out=" + run).refused(2, "--max-latency", "unit");
    runs.search("--max-latency=70us", "--beta=1", "--out=" + run)
        .refused(2, "--max-latency has a loss of its own");
    runs.search("--max-latency=50us", "--out=" + run).refusedAtTheEnd(3, "least possible");
    assertFalse(Files.exists(run));
  }

  @Test
  void asManyUniformDrawsWhichAreTheirOwn() {
    runs.search("--out=" + run).succeeded();
    Outcome outcome = SmallRuns.run("sample", run.toString(), "--count=8", "--uniform");
    outcome.succeeded();
    assertEquals(8, samples(false).size());
    assertEquals(8, samples(true).size());
    for (boolean uniform : new boolean[] {false, true}) {
      assertEquals(8, samples(uniform).stream().map(Sample::blocks).distinct().count());
    }
    for (String line :
        List.of(
            "best of 8 from theta",
            "best of 8 uniform",
            "mean of 8 from theta",
            "mean of 8 uniform")) {
      assertTrue(outcome.out().contains(line), outcome.out());
    }
    // Theta has hardly moved, so equal noise would have given equal draws.
    long equal =
        IntStream.range(1, 8)
            .filter(i -> samples(false).get(i).blocks().equals(samples(true).get(i - 1).blocks()))
            .count();
    assertTrue(equal < 3, equal + " of 7 are equal");
  }

  @Test
  void childrenNeverSeeThetasImages() throws IOException {
    runs.search("--train-images=30", "--out=" + run).succeeded();
    String[] sample = {
      "sample", run.toString(), "--train=1", "--epochs=1", "--batch=4", "--seed=7"
    };
    Outcome trained = SmallRuns.run(sample);
    trained.succeeded();
    // 24 of the 30 trained w.
    assertTrue(trained.err().contains("seed 7, 24 images train"), trained.err());
    Path child = run.resolve("children").resolve("01");
    String config = Files.readString(child.resolve("config.yaml"));
    assertTrue(config.contains("split-seed: 1\n") && config.contains("hold-out: 0.2\n"), config);
    assertFalse(config.contains("hold-out-of"), config);
    assertTrue(trained.out().contains("on 6 held out training images"), trained.out());
    // A child that is trained again by its own folder holds out the same.
    Files.delete(child.resolve("model.safetensors"));
    Outcome resumed = SmallRuns.run("train", "--resume=" + child);
    resumed.succeeded();
    assertTrue(resumed.err().contains("24 images train"), resumed.err());
    assertTrue(resumed.out().contains("accuracy on 6 held out training images"), resumed.out());

    Path other = folder.resolve("other");
    runs.search("--train-images=30", "--out=" + other).succeeded();
    Outcome all =
        SmallRuns.run(
            "sample", other.toString(), "--train=1", "--epochs=1", "--batch=4", "--train-images=0");
    all.succeeded();
    // All 40 but the 6 of theta.
    assertTrue(all.err().contains("34 images train"), all.err());
    config = Files.readString(other.resolve("children").resolve("01").resolve("config.yaml"));
    assertTrue(config.contains("hold-out-of: 30\n"), config);
    SmallRuns.run(sampleWith(other, "--train-images=30")).refusedAtTheEnd(2, "other flags");
  }

  private static String[] sampleWith(Path run, String flag) {
    return new String[] {"sample", run.toString(), "--train=1", "--epochs=1", "--batch=4", flag};
  }

  /** Flags of a short search without its epochs. */
  private String[] withoutEpochs(String... given) {
    return Stream.of(runs.searchFlags(given))
        .filter(flag -> !flag.startsWith("--epochs") && !flag.startsWith("--warmup-epochs"))
        .toArray(String[]::new);
  }

  @Test
  void aCostBecomesEpochsInWhichRatesGoTheirWholeWay() throws IOException {
    double cost = 2e8;
    SmallRuns.run(withoutEpochs("--cost=0.2G", "--tau-end=0.5", "--out=" + run)).succeeded();
    String config = Files.readString(run.resolve("config.yaml"));
    assertFalse(config.contains("cost"), config);
    assertTrue(config.contains("epoch-batches: ") && config.contains("epochs: "), config);
    Course course = Course.read(run.resolve("cost.jsonl"));
    assertTrue(course.macs() <= cost && course.macs() > 0.8 * cost, course.macs() + " spent");
    List<ObjectNode> weights =
        MetricsLog.read(run.resolve("metrics.jsonl")).stream()
            .filter(line -> line.path("phase").asText().equals("w"))
            .toList();
    int steps = weights.size();
    double last = 0.05 * (1 + Math.cos(Math.PI * (steps - 1) / steps));
    assertEquals(last, weights.getLast().path("rate").asDouble(), 1e-6);
    assertEquals(0.5, weights.getLast().path("tau").asDouble(), 1e-6);
    Map<String, String> whole = SmallRuns.results(run);
    Files.delete(run.resolve("samples.json"));
    SmallRuns.removeNewest(run.resolve("checkpoints"));
    SmallRuns.run("search", "--resume=" + run).succeeded();
    assertEquals(whole, SmallRuns.results(run));

    Path other = folder.resolve("other");
    runs.search("--cost=0.2G", "--out=" + other).refused(2, "--cost decides", "leave out --epochs");
    SmallRuns.run(withoutEpochs("--cost=1k", "--out=" + other))
        .refusedAtTheEnd(2, "does not suffice", "scoring 2 networks");
    SmallRuns.run(withoutEpochs("--cost=12 parsecs", "--out=" + other))
        .refused(2, "--cost must be multiply-adds");
    SmallRuns.run(withoutEpochs("--cost=400images", "--strategy=tf-nas", "--out=" + other))
        .succeeded();
    assertFalse(Files.readString(other.resolve("config.yaml")).contains("cost"));
  }
}
