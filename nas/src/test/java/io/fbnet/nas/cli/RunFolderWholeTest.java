package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A run folder holds its space, table and configuration, and knows the images it is of. */
class RunFolderWholeTest {
  @TempDir Path folder;
  private SmallRuns runs;
  private Path run;

  @BeforeEach
  void search() throws IOException {
    runs = new SmallRuns(folder);
    run = folder.resolve("run");
    runs.search("--epochs=3", "--warmup-epochs=1", "--head=24", "--out=" + run).succeeded();
  }

  private static List<Path> list(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.sorted().toList();
    }
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }

  /** As if the run had been stopped before its last epoch. */
  private static void forgetTheLastCheckpoint(Path run) throws IOException {
    delete(list(run.resolve("checkpoints")).getLast());
  }

  private static Outcome resume(Path run, String... more) {
    return SmallRuns.run(
        Stream.concat(Stream.of("search", "--resume", run.toString()), Stream.of(more))
            .toArray(String[]::new));
  }

  @Test
  void itIsMovedAndResumedWithoutItsSpaceAndTable() throws IOException {
    String architecture = Files.readString(run.resolve("architecture.json"));
    String metrics = Files.readString(run.resolve("metrics.jsonl"));
    forgetTheLastCheckpoint(run);
    Files.delete(run.resolve("architecture.json"));
    Path moved = Files.move(run, folder.resolve("moved"));
    Files.delete(runs.space);
    Files.delete(runs.table);
    Path data = Files.move(runs.data, folder.resolve("elsewhere"));
    resume(moved).refused(3, "There is no folder");
    Outcome resumed = resume(moved, "--data", data.toString()).succeeded();
    assertTrue(resumed.err().contains("resumed after step 18"), resumed.err());
    assertEquals(architecture, Files.readString(moved.resolve("architecture.json")));
    assertEquals(metrics, Files.readString(moved.resolve("metrics.jsonl")));
    String config = Files.readString(moved.resolve("config.yaml"));
    assertTrue(config.contains("data: \"" + folder + "/"), config);
  }

  @Test
  void itsDataIsItsOwn() throws IOException {
    forgetTheLastCheckpoint(run);
    SmallRuns.images(runs.data, 44, 2);
    resume(run).refusedAtTheEnd(3, "the data has changed", ChangedData.NAME);
    SmallRuns.run("sample", run.toString()).refusedAtTheEnd(3, "the data has changed");
    Outcome accepted = resume(run, ChangedData.NAME).succeeded();
    assertTrue(accepted.err().contains("warning: the data has changed"), accepted.err());
    // Its newest checkpoint is of the new data.
    assertFalse(resume(run).succeeded().err().contains("changed"));
    runs.search(ChangedData.NAME).refused(2, "needs --resume");
    assertFalse(Files.readString(run.resolve("config.yaml")).contains("accept"));
  }

  @Test
  void aTrainingsDataIsItsOwnToo() throws IOException {
    Path child = folder.resolve("child");
    SmallRuns.run(
            "train",
            run.resolve("architecture.json").toString(),
            "--data=" + runs.data,
            "--lut=" + runs.table,
            "--epochs=2",
            "--batch=8",
            "--device=cpu",
            "--threads=1",
            "--out=" + child)
        .succeeded();
    forgetTheLastCheckpoint(child);
    Path moved = Files.move(child, folder.resolve("moved"));
    Files.delete(runs.table);
    SmallRuns.run("train", "--resume", moved.toString()).succeeded();
    forgetTheLastCheckpoint(moved);
    SmallRuns.images(runs.data, 40, 2);
    SmallRuns.run("train", "--resume", moved.toString())
        .refusedAtTheEnd(3, "the data has changed", ChangedData.NAME);
    SmallRuns.run("train", "--resume", moved.toString(), ChangedData.NAME).succeeded();
  }

  @Test
  void aRunOfAnOlderVersionIsResumedOrRefusedInASentence() throws IOException {
    forgetTheLastCheckpoint(run);
    for (Path checkpoint : list(run.resolve("checkpoints"))) {
      Path manifest = checkpoint.resolve("manifest.json");
      String text = Files.readString(manifest);
      Files.writeString(manifest, text.replaceFirst("(?m)^  \"data\".*\\n", ""));
    }
    Files.delete(run.resolve("space.yaml"));
    Outcome resumed = resume(run).succeeded();
    assertTrue(resumed.err().contains("older version"), resumed.err());
    assertTrue(resumed.err().contains("resumed after step 18"), resumed.err());
    Files.move(runs.space, folder.resolve("moved.yaml"));
    resume(run).refused(3, "older version", "tiny.yaml", "from the folder");
  }

  @Test
  void aRefusedSearchLeavesNoFolder() {
    Path refused = folder.resolve("refused");
    runs.search("--batch=9", "--out=" + refused).refused(3, "theta", "--batch");
    assertFalse(Files.exists(refused));
  }
}
