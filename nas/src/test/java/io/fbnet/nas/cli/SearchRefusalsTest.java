package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.search.SearchSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a search is refused for, and that a dry run is refused for the same. */
class SearchRefusalsTest {
  @TempDir Path folder;
  private SmallRuns runs;

  @BeforeEach
  void write() throws IOException {
    runs = new SmallRuns(folder);
  }

  private void refused(int code, String flags, String... words) {
    String[] given = flags.split(" ");
    Path out = folder.resolve("refused");
    Outcome run = with(given, "--out=" + out);
    String said = run.err().lines().reduce((a, b) -> b).orElse("");
    run.refusedAtTheEnd(code, words);
    assertFalse(Files.exists(out), flags);
    Outcome dry = with(given, "--dry-run");
    assertEquals(said, dry.err().lines().reduce((a, b) -> b).orElse(""), flags);
    assertEquals(code, dry.code(), flags);
    assertFalse(run.err().contains("device: "), "a device was opened before: " + run.err());
  }

  private Outcome with(String[] given, String... more) {
    return runs.search(Stream.concat(Arrays.stream(given), Stream.of(more)).toArray(String[]::new));
  }

  @ParameterizedTest
  @CsvSource({
    "2, --epochs=10 --warmup-epochs=10, leaves theta untrained",
    "2, --epochs=9 --warmup-epochs=10, leaves theta untrained",
    "3, --batch=9, 8 of the training images of grey train theta",
    "3, --batch=33, 32 of the training images of grey train w",
    "3, --train-images=5, train theta",
    "2, --weight-share=0, --weight-share must lie between 0 and 1",
    "2, --weight-share=1.2, --weight-share must lie between 0 and 1",
    "3, --weight-share=0.95, 2 of the training images of grey train theta",
    "2, --batch=2000000000, --batch must be at most",
    "2, --rate=1e-60, --rate must be above 0 as a 32-bit float",
    "2, --theta-rate=1e-60, --theta-rate must be above 0",
    "2, --theta-rate=1e60, --theta-rate must be above 0",
    "2, --weight-decay=1e60, --weight-decay",
    "2, --tau=1e-9, --tau must be at least 0.01",
    "2, --tau-end=1e-30, --tau-end must be at least 0.01",
    "2, --threads=0, --threads must be at least 1",
    "2, --threads=2000000000, --threads",
    "2, --crop-padding=2000000000, --crop-padding",
    "2, --epochs=2000000000, --epochs",
    "2, --samples=2000000000, --samples",
    "2, --head=2000000000, --head",
    "2, --resolution=2000000000, --resolution",
    "3, --max-macs=1, least possible",
    "2, --strategy=evolve, there is no --strategy 'evolve'",
    "2, --sampling=fair, leave --sampling out",
    "2, --strategy=random --sampling=all, Invalid value for option '--sampling'",
    "2, --strategy=rnn --evaluations=0, --evaluations must be at least 1",
  })
  void settingsUnderWhichNothingIsLearned(int code, String flags, String words) {
    refused(code, flags, words);
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4, 7})
  void imagesOfSoManyChannels(int channels) throws IOException {
    Path space = folder.resolve("channels.yaml");
    Files.writeString(space, SmallRuns.SPACE.replace("channels: 3", "channels: " + channels));
    refused(3, "--space=" + space, "1 or 3 channels", "takes " + channels);
    SmallRuns.run("data", "check", "--data=" + runs.data, "--space=" + space)
        .refused(3, "1 or 3 channels", "takes " + channels);
    SmallRuns.run("data", "check", "--data=shapes", "--space=" + space)
        .refused(3, "takes " + channels);
  }

  @Test
  void aSpaceWithoutChoice() throws IOException {
    Path space = folder.resolve("one.yaml");
    Files.writeString(space, SmallRuns.SPACE.replace("k3_e1, k3_e3, k5_e1, skip", "k3_e1"));
    refused(3, "--space=" + space, "nothing to search");
  }

  @Test
  void limitsThatHoldOnlyAlone() {
    Outcome run = runs.search("--target-latency=148us", "--max-macs=0.15M");
    run.refusedAtTheEnd(
        3,
        "together",
        "at most 0.150 M multiply-adds",
        "a network takes at most about 0.0790 ms, or at least about 0.439 M multiply-adds");
    Outcome dry = runs.search("--target-latency=148us", "--max-macs=0.15M", "--dry-run");
    assertEquals(run.err(), dry.err());
  }

  @Test
  void aPowerOfTheLatencyThatLeavesTheNumbers() {
    runs.search("--beta=20").refusedAtTheEnd(2, "--beta 20", "multiply the loss", "lower --beta");
    runs.search("--beta=20", "--dry-run").refusedAtTheEnd(2, "--beta 20");
    runs.search("--beta=1", "--dry-run").succeeded();
  }

  @Test
  void theTemperatureHasAFloorAtWhichItStillTrains() {
    SearchSettings paper = SearchSettings.paper().epochs(2400).build();
    assertEquals(SearchSettings.LEAST_TAU, paper.tau(2399, 0, 1));
    assertEquals(5, paper.tau(0, 0, 1));
    assertTrue(paper.tau(100, 0, 1) < paper.tau(99, 0, 1));
    runs.search("--tau=0.01", "--tau-end=0.01", "--out=" + folder.resolve("cold")).succeeded();
  }

  @Test
  void otherVerbsOnNumbersOutOfRange() throws IOException {
    SmallRuns.run("data", "check", "--data=" + runs.data, "--threads=0")
        .refused(2, "--threads must be at least 1");
    SmallRuns.run("data", "check", "--data=" + runs.data, "--threads=2000000000")
        .refused(2, "--threads");
    Path run = folder.resolve("run");
    runs.search("--out=" + run).succeeded();
    Path child = folder.resolve("child");
    String architecture = run.resolve("architecture.json").toString();
    String[] train = {"train", architecture, "--data=" + runs.data, "--device=cpu", "--threads=1"};
    Stream.of("--batch=41", "--batch=1000000", "--batch=16 --accumulate=3")
        .forEach(
            flags ->
                SmallRuns.run(
                        Stream.of(
                                Stream.of(train),
                                Stream.of(flags.split(" ")),
                                Stream.of("--out=" + child))
                            .flatMap(s -> s)
                            .toArray(String[]::new))
                    .refusedAtTheEnd(3, "fewer than one step"));
    SmallRuns.run(
            Stream.concat(Stream.of(train), Stream.of("--epochs=1", "--batch=8", "--out=" + child))
                .toArray(String[]::new))
        .succeeded();
    SmallRuns.run(
            "evaluate",
            child.toString(),
            "--data=" + runs.data,
            "--batch=2000000000",
            "--device=cpu",
            "--threads=1",
            "--no-latency")
        .succeeded();
    SmallRuns.run("sample", run.toString(), "--train=1", "--batch=1000")
        .refusedAtTheEnd(3, "fewer than one step");
    SmallRuns.run("sample", run.toString(), "--count=2000000000").refused(2, "--count");
    SmallRuns.run(
            "latency", "measure", "--space=" + runs.space, "--batch=2000000000", "--device=cpu")
        .refusedAtTheEnd(2, "--batch");
    SmallRuns.run("latency", "kit", "--space=" + runs.space, "--batch=2000000000", "--out=k")
        .refusedAtTheEnd(2, "--batch");
  }
}
