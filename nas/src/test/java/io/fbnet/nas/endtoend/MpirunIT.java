package io.fbnet.nas.endtoend;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.nas.run.MetricsLog;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Processes that a launcher started share a search or a training. */
@Tag("full")
@EnabledOnOs(OS.LINUX)
class MpirunIT {
  private static final String OPEN_MPI = "mpirun.openmpi";
  private static final String MPICH = "mpirun.mpich";

  @TempDir private Path folder;
  private Fbnet fbnet;
  private Path space;
  private Path table;

  @BeforeEach
  void prepare() throws IOException {
    fbnet = new Fbnet(folder);
    space = fbnet.tinySpace();
    table = fbnet.tinyTable();
  }

  static void requireThere(String launcher) {
    boolean there =
        Stream.of(System.getenv("PATH").split(":", -1))
            .anyMatch(place -> Files.isExecutable(Path.of(place, launcher)));
    assumeTrue(there, launcher + " was not found (Debian: openmpi-bin, mpich)");
  }

  /** The search of seconds with other flags, of the form --name=value, or more. */
  private String[] search(Path run, String... others) {
    List<String> all = new ArrayList<>(List.of(Fbnet.tinySearch(space, table, run)));
    all.set(all.indexOf("--threads") + 1, "1");
    for (String other : others) {
      int known = all.indexOf(other.replaceAll("=.*", ""));
      if (known >= 0) {
        all.set(known + 1, other.replaceAll("^[^=]*=", ""));
      } else {
        all.add(other);
      }
    }
    return all.toArray(String[]::new);
  }

  @Test
  void twoProcessesSearchAndRepeatThemselves() throws Exception {
    requireThere(OPEN_MPI);
    fbnet.under(OPEN_MPI, 2);
    Path first = folder.resolve("first");
    Fbnet.Outcome outcome = fbnet.run(search(first, "--sync-bn"));
    assertEquals(0, outcome.code(), outcome.err());
    assertTrue(Files.exists(first.resolve("architecture.json")));
    assertTrue(outcome.err().contains("fbnet: rank 0: epoch 3 done"), outcome.err());
    assertFalse(outcome.err().contains("rank 1: epoch"), outcome.err());
    assertEquals(1, outcome.outLines().stream().filter(l -> l.startsWith("Found for")).count());
    Path second = folder.resolve("second");
    assertEquals(0, fbnet.run(search(second, "--sync-bn")).code());
    assertEquals(
        MetricsLog.read(first.resolve("metrics.jsonl")),
        MetricsLog.read(second.resolve("metrics.jsonl")));
  }

  /** Each on a software CUDA device of its own, then both on one: the same bits, and a note. */
  @Test
  void twoGpusExchangeByNcclOrThroughTheHost() throws Exception {
    requireThere(OPEN_MPI);
    assumeTrue(SoftwareCuda.present(), "two devices are those of the software CUDA device");
    String way = "GPUs exchange by way of the host";
    List<List<?>> logs = new ArrayList<>();
    for (int devices = 2; devices >= 1; devices--) {
      fbnet.environment("SOFT_CUDA_DEVICES", "" + devices);
      fbnet.under(OPEN_MPI, 2);
      Path run = folder.resolve("devices" + devices);
      Fbnet.Outcome outcome =
          fbnet.run(search(run, "--device=cuda", "--deterministic", "--sync-bn"));
      assertEquals(0, outcome.code(), outcome.err());
      assertEquals(devices == 1, outcome.err().contains(way), outcome.err());
      assertTrue(outcome.err().contains("a layer's candidates run one after another"));
      assertEquals(
          devices == 1, outcome.err().contains("ranks 0 and 1 share a GPU"), outcome.err());
      logs.add(MetricsLog.read(run.resolve("metrics.jsonl")));
    }
    assertEquals(logs.get(0), logs.get(1));
  }

  @Test
  void aStoppedSearchOfTwoIsFinishedByOne() throws Exception {
    requireThere(OPEN_MPI);
    fbnet.under(OPEN_MPI, 2, 10);
    Path run = folder.resolve("run");
    Path err = folder.resolve("err");
    Process mpirun =
        fbnet.start(folder.resolve("out"), err, search(run, "--epochs=60", "--train-images=960"));
    waitForSteps(mpirun, run);
    assertEquals(
        0, new ProcessBuilder("kill", "-INT", Long.toString(mpirun.pid())).start().waitFor());
    assertTrue(mpirun.waitFor(60, TimeUnit.SECONDS), "hangs");
    String said = Files.readString(err);
    assertTrue(said.contains("fbnet: rank 0: stopped and saved after step"), said);
    fbnet.alone();
    Process one = fbnet.start(folder.resolve("out1"), err, "search", "--resume", run.toString());
    int before = MetricsLog.read(run.resolve("metrics.jsonl")).size();
    while (one.isAlive() && MetricsLog.read(run.resolve("metrics.jsonl")).size() <= before) {
      Thread.sleep(50);
    }
    one.destroy();
    assertEquals(143, one.waitFor(), Files.readString(err));
    assertTrue(
        Files.readString(err).contains("was made with ranks 2, now it is 1"),
        Files.readString(err));
  }

  private static void waitForSteps(Process process, Path run) throws Exception {
    while (process.isAlive() && MetricsLog.read(run.resolve("metrics.jsonl")).size() < 3) {
      Thread.sleep(50);
    }
    assertTrue(process.isAlive(), "it ended before it had taken three steps");
  }

  /** The two ranks of a launcher. */
  static List<ProcessHandle> ranks(Process mpirun) {
    List<ProcessHandle> ranks =
        mpirun.descendants().filter(p -> p.info().command().orElse("").endsWith("/java")).toList();
    assertEquals(2, ranks.size());
    return ranks;
  }

  @Test
  void whatOneCannotReadEndsAllInASentence() throws Exception {
    requireThere(OPEN_MPI);
    fbnet.under(OPEN_MPI, 2);
    Fbnet.Outcome outcome =
        fbnet.run(search(folder.resolve("run"), "--data=" + folder.resolve("none")));
    assertNotEquals(0, outcome.code());
    assertTrue(outcome.err().contains("fbnet: rank 0: "), outcome.err());
    assertFalse(outcome.err().contains("\tat "), outcome.err());
    outcome = fbnet.run(search(folder.resolve("run"), "--batch=15"));
    assertTrue(outcome.err().contains("--batch 15 cannot be shared by 2 processes"), outcome.err());
  }

  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI, MPICH})
  void fourProcessesTrain(String launcher) throws Exception {
    requireThere(launcher);
    Path found = folder.resolve("found");
    assertEquals(0, fbnet.here(search(found)).code());
    List<List<?>> logs = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      fbnet.under(launcher, 4);
      Path run = folder.resolve("train" + i);
      Fbnet.Outcome outcome =
          fbnet.run(
              "train",
              found.resolve("architecture.json").toString(),
              "--data=shapes",
              "--train-images=320",
              "--epochs=2",
              "--batch=16",
              "--ema=0.9",
              "--accumulate=2",
              "--device=cpu",
              "--threads=1",
              "--out=" + run);
      assertEquals(0, outcome.code(), outcome.err());
      assertTrue(Files.exists(run.resolve("model.safetensors")));
      logs.add(MetricsLog.read(run.resolve("metrics.jsonl")));
    }
    assertEquals(logs.get(0), logs.get(1));
  }

  /** One rank is gone, or answers no more: nobody waits for ever. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        OPEN_MPI + " KILL",
        OPEN_MPI + " STOP",
        MPICH + " KILL",
        MPICH + " STOP",
      })
  void noRankOutlivesAnother(String launcherAndSignal) throws Exception {
    String launcher = launcherAndSignal.substring(0, launcherAndSignal.indexOf(' '));
    String signal = launcherAndSignal.substring(launcherAndSignal.indexOf(' ') + 1);
    requireThere(launcher);
    fbnet.under(launcher, 2, 10);
    Path run = folder.resolve("run");
    Path err = folder.resolve("err");
    Process mpirun =
        fbnet.start(
            folder.resolve("out"),
            err,
            search(run, "--epochs=60", "--train-images=960", "--rank-timeout=9"));
    waitForSteps(mpirun, run);
    List<ProcessHandle> ranks = ranks(mpirun);
    long pid = ranks.getLast().pid();
    assertEquals(0, new ProcessBuilder("kill", "-" + signal, Long.toString(pid)).start().waitFor());
    assertTrue(mpirun.waitFor(40, TimeUnit.SECONDS), "hangs: " + Files.readString(err));
    assertNotEquals(0, mpirun.exitValue());
    for (ProcessHandle rank : ranks) {
      rank.onExit().get(10, TimeUnit.SECONDS);
    }
    String said = Files.readString(err);
    assertFalse(said.contains("\tat "), said);
    if (signal.equals("STOP")) {
      assertTrue(said.contains("no answer from other ranks for 9 s"), said);
      assertEquals(7, mpirun.exitValue(), said);
    }
    fbnet.alone();
    Process again = fbnet.start(folder.resolve("out1"), err, "search", "--resume", run.toString());
    waitForSteps(again, run);
    again.destroy();
    assertEquals(143, again.waitFor(), Files.readString(err));
  }

  /** Rank 0 cannot write: all end in a sentence, and the newest checkpoint is whole. */
  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI, MPICH})
  void aFullDiskEndsAll(String launcher) throws Exception {
    requireThere(launcher);
    Path disk = Files.createDirectory(folder.resolve("disk"));
    Process mount =
        new ProcessBuilder("mount", "-t", "tmpfs", "-o", "size=8m", "none", disk.toString())
            .redirectErrorStream(true)
            .start();
    String refusal = new String(mount.getInputStream().readAllBytes(), UTF_8).strip();
    assumeTrue(mount.waitFor() == 0, "no file system may be mounted here: " + refusal);
    try {
      fbnet.under(launcher, 2);
      Path run = disk.resolve("run");
      Path err = folder.resolve("err");
      Process mpirun =
          fbnet.start(folder.resolve("out"), err, search(run, "--epochs=60", "--train-images=960"));
      waitForSteps(mpirun, run);
      List<ProcessHandle> ranks = ranks(mpirun);
      Path ballast = disk.resolve("ballast");
      Files.write(ballast, new byte[(int) Files.getFileStore(disk).getUsableSpace()]);
      assertTrue(mpirun.waitFor(40, TimeUnit.SECONDS), "hangs: " + Files.readString(err));
      for (ProcessHandle rank : ranks) {
        rank.onExit().get(10, TimeUnit.SECONDS);
      }
      String said = Files.readString(err);
      assertTrue(said.contains("fbnet: rank 0: "), said);
      assertTrue(said.contains("No space left on device"), said);
      assertFalse(said.contains("\tat "), said);
      for (int r = 0; r < 2; r++) {
        String of = "fbnet: rank " + r + ": ";
        assertTrue(
            said.lines().filter(l -> l.startsWith(of) && l.contains("No space left")).count() <= 1,
            said);
      }
      // MPICH says 9 where it has killed one.
      assertTrue(List.of(5, 7, 9).contains(mpirun.exitValue()), mpirun.exitValue() + ": " + said);
      Files.delete(ballast);
      fbnet.alone();
      Process again =
          fbnet.start(folder.resolve("out1"), err, "search", "--resume", run.toString());
      waitForSteps(again, run);
      again.destroy();
      assertEquals(143, again.waitFor(), Files.readString(err));
    } finally {
      assertEquals(0, new ProcessBuilder("umount", disk.toString()).start().waitFor());
    }
  }

  /** One rank's device has too little memory: it says so, and the launcher ends the others. */
  @ParameterizedTest
  @ValueSource(strings = {OPEN_MPI, MPICH})
  void aRankOutOfMemoryEndsAll(String launcher) throws Exception {
    requireThere(launcher);
    assumeTrue(SoftwareCuda.present(), "the software CUDA device is not built");
    fbnet.under(launcher, 2);
    fbnet.environmentOf(1, "SOFT_CUDA_MEMORY", Integer.toString(1 << 20));
    Fbnet.Outcome outcome = fbnet.run(search(folder.resolve("run"), "--device=cuda"));
    String said = outcome.err();
    assertTrue(said.contains("fbnet: rank 1: ") && said.contains("--memory lean"), said);
    assertFalse(said.contains("\tat "), said);
    assertTrue(List.of(4, 9).contains(outcome.code()), outcome.code() + ": " + said);
  }
}
