package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cuda.SoftwareCuda;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Open files and threads of this process, which a run must give back and an epoch must not add to;
 * {@code bench/long_runs.py} looks at memory too, over 10,000 steps.
 */
@EnabledOnOs(OS.LINUX)
class NothingGrowsTest {
  @TempDir Path folder;

  /** Of the program: Java opens jars when it first needs them. */
  private static List<String> files() throws IOException {
    try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
      return open.map(NothingGrowsTest::target)
          .filter(file -> !file.matches("/proc/.*|.*\\.jar|.*/lib/modules"))
          .sorted()
          .toList();
    }
  }

  private static String target(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).toString();
    } catch (IOException closed) {
      return "/proc/ (the list itself)";
    }
  }

  /** Of the program: Java's own come and go. */
  private static List<String> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(
            name ->
                !name.matches(
                    "(C[12] Compiler|process reaper|ForkJoinPool|Common-Cleaner|Attach).*"))
        .sorted()
        .toList();
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda"})
  void aRunGivesBackWhatItOpened(String device) throws IOException {
    assumeTrue(!device.equals("cuda") || SoftwareCuda.present(), "no software CUDA device");
    SmallRuns runs = new SmallRuns(folder);
    List<String> filesBefore = null;
    List<String> threadsBefore = null;
    for (int i = 0; i < 3; i++) {
      runs.search(
              "--device=" + device,
              "--threads=2",
              "--train-images=20",
              "--epochs=1",
              "--warmup-epochs=0",
              "--out=" + folder.resolve("run" + i))
          .succeeded();
      if (i == 0) {
        // The first loads libraries and starts what lives as long as the process.
        filesBefore = files();
        threadsBefore = threads();
      }
    }
    assertEquals(filesBefore, files());
    assertEquals(threadsBefore, threads());
  }

  /** As seen at the end of each epoch. */
  @Test
  void anEpochOpensNothing() throws IOException {
    SmallRuns runs = new SmallRuns(folder);
    TreeSet<String> seen = new TreeSet<>();
    StringWriter err =
        new StringWriter() {
          @Override
          public void write(String text, int from, int length) {
            super.write(text, from, length);
            if (text.matches("fbnet: epoch (?!1 ).* done.*")) {
              try {
                seen.add(files() + " " + threads());
              } catch (IOException e) {
                throw new AssertionError(e);
              }
            }
          }
        };
    String[] search = runs.searchFlags("--epochs=20", "--out=" + folder.resolve("run"));
    assertEquals(
        0,
        Main.run(search, new PrintWriter(new StringWriter()), new PrintWriter(err), false),
        err.toString());
    assertTrue(err.toString().contains("epoch 20 done"), err.toString());
    assertEquals(1, seen.size(), seen.toString());
  }
}
