package io.fbnet.nas.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import io.fbnet.nas.UserException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFolderTest {
  @TempDir Path folder;

  @Test
  void aRunIsNeverOverwritten() throws IOException {
    Path root = folder.resolve("runs/one");
    try (RunFolder run = RunFolder.create(root)) {
      Files.writeString(run.config(), "seed: 1\n");
      assertEquals(root.resolve("metrics.jsonl"), run.metrics());
      assertEquals(root.resolve("latency.json"), run.latency());
      assertEquals(root.resolve("architecture.json"), run.architecture());
      assertEquals(root.resolve("checkpoints"), run.checkpointsFolder());
      assertTrue(run.checkpoints(2).newestValid(notice -> {}).isEmpty());
    }
    Refusals.refused(
        ExitCode.USAGE, () -> RunFolder.create(root), "already holds a run", "runs/one");
    RunFolder.open(root).close();
    Refusals.refused(ExitCode.USAGE, () -> RunFolder.open(folder), "holds no run");
    Refusals.refused(ExitCode.USAGE, () -> RunFolder.create(folder.resolve("runs")), "holds one");
    assertFalse(Files.exists(folder.resolve("runs/.lock")), "a refused folder stays untouched");
    Path file = root.resolve("config.yaml");
    Refusals.refused(ExitCode.USAGE, () -> RunFolder.create(file), "is a file");
    Refusals.refused(ExitCode.STORAGE, () -> RunFolder.create(file.resolve("x")), "cannot write");
  }

  private static String temporary(String file, long process) {
    return "." + file + "." + process + "-1f.tmp";
  }

  /** What was killed before it had a configuration cannot be resumed, so it is begun again. */
  @Test
  void aBeginningIsBegunAgain() throws IOException {
    Path root = Files.createDirectories(folder.resolve("run"));
    Files.writeString(root.resolve("space.yaml"), "name: half\n");
    Refusals.refused(ExitCode.USAGE, () -> RunFolder.create(root), "it holds space.yaml");
    Files.createFile(root.resolve(".lock"));
    Files.createFile(root.resolve(temporary("config.yaml", Integer.MAX_VALUE)));
    RunFolder.create(root).close();
    assertFalse(Files.exists(root), "nothing is left of what never became a run");
    Files.createDirectories(root);
    Files.createFile(root.resolve(".lock"));
    Files.createFile(root.resolve("notes.txt"));
    Refusals.refused(ExitCode.USAGE, () -> RunFolder.create(root), "it holds notes.txt");
  }

  @Test
  void whatAKilledProcessHalfWroteGoes() throws IOException {
    Path root = Files.createDirectories(folder.resolve("run"));
    Files.writeString(root.resolve("config.yaml"), "seed: 1\n");
    Path dead = Files.createFile(root.resolve(temporary("latency.json", Integer.MAX_VALUE)));
    Path alive = Files.createFile(root.resolve(temporary("x", ProcessHandle.current().pid())));
    RunFolder.open(root).close();
    assertFalse(Files.exists(dead));
    assertTrue(Files.exists(alive), "a report may be on its way");
  }

  @Test
  void oneProcessHoldsAFolderOnce() {
    Path root = folder.resolve("run");
    RunFolder run = RunFolder.create(root);
    Refusals.refused(ExitCode.STORAGE, () -> RunFolder.create(root), "in use by this process");
    run.close();
    run.close();
    RunFolder.create(root).close();
  }

  @Test
  void anotherProcessIsRefusedUntilTheFirstDies() throws Exception {
    Path root = folder.resolve("run");
    Process other =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Holder.class.getName(),
                root.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try (BufferedReader out =
        new BufferedReader(new InputStreamReader(other.getInputStream(), StandardCharsets.UTF_8))) {
      assertEquals("held", out.readLine());
      Refusals.refused(
          ExitCode.STORAGE, () -> RunFolder.open(root), "in use by process " + other.pid());
    } finally {
      other.destroyForcibly().waitFor();
    }
    RunFolder.open(root).close();
  }

  /** Holds a run folder until it is killed. */
  static final class Holder {
    private Holder() {}

    public static void main(String[] arguments) throws Exception {
      try (RunFolder run = RunFolder.create(Path.of(arguments[0]))) {
        Files.writeString(run.config(), "seed: 1\n");
        System.out.println("held");
        Thread.sleep(60_000);
      } catch (UserException e) {
        System.out.println(e.getMessage());
      }
    }
  }
}
