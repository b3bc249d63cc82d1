package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.run.MetricsLog;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A run that is killed again and again computes what an unbroken one computes, bit for bit. */
@EnabledOnOs(OS.LINUX)
class KillResumeIT {
  private static final long SEED = 20260301L;
  private static final int KILLS = 5;

  /** A limit that bites, so that its multiplier is part of what must survive. */
  private static final String[] BUDGET = {"--max-macs", "30k"};

  @TempDir Path folder;
  private Fbnet fbnet;
  private Path space;
  private Path table;

  @BeforeEach
  void prepare() throws Exception {
    fbnet = new Fbnet(folder);
    space = fbnet.tinySpace();
    table = fbnet.tinyTable();
  }

  /** The series that must be equal: every number of every step and theta of every epoch. */
  private static List<String> series(Path run) {
    List<String> lines = new ArrayList<>();
    for (ObjectNode line : MetricsLog.read(run.resolve("metrics.jsonl"))) {
      lines.add(line.toString());
    }
    return lines;
  }

  /** The short form of bench/kill_resume.py. */
  @Test
  void killedAtSeededPointsItContinuesBitForBit() throws Exception {
    Path unbroken = folder.resolve("unbroken");
    Fbnet.Outcome whole = fbnet.here(Fbnet.tinySearch(space, table, unbroken, BUDGET));
    assertEquals(0, whole.code(), whole.err());
    Random random = new Random(SEED);
    int insideWrite = 0;
    int runs = 0;
    Path broken = folder.resolve("broken0");
    for (int killed = 0; killed < KILLS; ) {
      boolean first = !Files.exists(broken.resolve("config.yaml"));
      String[] arguments =
          first
              ? Fbnet.tinySearch(space, table, broken, BUDGET)
              : new String[] {"search", "--resume", broken.toString()};
      Path err = folder.resolve("killed.err");
      long started = System.currentTimeMillis();
      Process process = fbnet.start(folder.resolve("killed.out"), err, arguments);
      waitForTraining(process, err);
      if (killed % 2 == 0) {
        waitForTornCheckpoint(process, broken, started);
      } else {
        Thread.sleep(random.nextInt(1500));
      }
      boolean alive = process.isAlive();
      process.destroyForcibly();
      assertTrue(process.waitFor(30, TimeUnit.SECONDS));
      killed += alive ? 1 : 0;
      insideWrite += alive && torn(broken, started) ? 1 : 0;
      if (!alive) {
        // It came to its end between two kills: compare, and take a new run for the rest.
        assertEquals(0, process.exitValue(), Files.readString(err));
        compare(unbroken, broken);
        broken = folder.resolve("broken" + ++runs);
      }
    }
    System.out.println(
        "killed %d times in %d runs, %d inside a checkpoint's write, seed %d"
            .formatted(KILLS, runs + 1, insideWrite, SEED));
    assertTrue(insideWrite > 0, "no kill fell inside a write, seed " + SEED);
    if (Files.exists(broken.resolve("config.yaml"))) {
      Fbnet.Outcome last = fbnet.here("search", "--resume", broken.toString());
      assertEquals(0, last.code(), last.err());
      compare(unbroken, broken);
    }
  }

  private static void compare(Path unbroken, Path broken) throws IOException {
    List<String> expected = series(unbroken);
    List<String> actual = series(broken);
    for (int i = 0; i < Math.min(expected.size(), actual.size()); i++) {
      assertEquals(expected.get(i), actual.get(i), "line " + (i + 1) + ", seed " + SEED);
    }
    assertEquals(expected.size(), actual.size(), "lines, seed " + SEED);
    assertEquals(
        Files.readString(unbroken.resolve("architecture.json")),
        Files.readString(broken.resolve("architecture.json")));
  }

  private static void waitForTraining(Process process, Path err) throws Exception {
    while (process.isAlive() && !Files.readString(err).contains("run folder")) {
      Thread.sleep(5);
    }
  }

  private static void waitForTornCheckpoint(Process process, Path run, long since)
      throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (process.isAlive() && !torn(run, since) && System.nanoTime() < end) {
      Thread.onSpinWait();
    }
  }

  /** Whether a checkpoint's folder, touched since then, stands without its manifest. */
  private static boolean torn(Path run, long since) throws IOException {
    Path checkpoints = run.resolve("checkpoints");
    if (!Files.isDirectory(checkpoints)) {
      return false;
    }
    try (Stream<Path> entries = Files.list(checkpoints)) {
      for (Path checkpoint : entries.toList()) {
        if (!Files.exists(checkpoint.resolve("manifest.json"))
            && Files.getLastModifiedTime(checkpoint).toMillis() >= since) {
          return true;
        }
      }
      return false;
    } catch (NoSuchFileException | UncheckedIOException vanished) {
      return false;
    }
  }

  @Test
  @Tag("full")
  void theFirstSignalSavesAndNamesTheWayBack() throws Exception {
    fbnet.hearInterrupts();
    for (String signal : List.of("INT", "TERM")) {
      Path run = folder.resolve("run-" + signal);
      Path err = folder.resolve("signal.err");
      Process process =
          fbnet.start(folder.resolve("signal.out"), err, Fbnet.tinySearch(space, table, run));
      while (process.isAlive()
          && (!Files.exists(run.resolve("metrics.jsonl"))
              || Files.size(run.resolve("metrics.jsonl")) == 0)) {
        Thread.sleep(5);
      }
      new ProcessBuilder("kill", "-" + signal, Long.toString(process.pid())).start().waitFor();
      assertTrue(process.waitFor(60, TimeUnit.SECONDS), "hangs after SIG" + signal);
      String said = Files.readString(err);
      assertEquals(signal.equals("INT") ? 130 : 143, process.exitValue(), said);
      assertTrue(said.contains("--resume " + run), said);
      int steps = series(run).size();
      Fbnet.Outcome resumed = fbnet.here("search", "--resume", run.toString());
      assertEquals(0, resumed.code(), resumed.err());
      assertTrue(series(run).size() > steps, resumed.err());
    }
  }
}
