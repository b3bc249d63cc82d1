package io.fbnet.nas.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A real file system that fills up in the middle of a run, where this user may mount one. */
@EnabledOnOs(OS.LINUX)
class FullDiskTest {
  private static final int PAGE = 4096;

  @TempDir Path folder;
  private SmallRuns runs;
  private Path disk;
  private boolean mounted;

  @BeforeEach
  void mount() throws Exception {
    runs = new SmallRuns(folder);
    disk = Files.createDirectory(folder.resolve("disk"));
    Process mount =
        new ProcessBuilder("mount", "-t", "tmpfs", "-o", "size=8m", "none", disk.toString())
            .redirectErrorStream(true)
            .start();
    String said = new String(mount.getInputStream().readAllBytes(), UTF_8).strip();
    mounted = mount.waitFor() == 0;
    if (!mounted) {
      System.out.println("FullDiskTest is skipped: no file system may be mounted here: " + said);
    }
    assumeTrue(mounted, said);
  }

  @AfterEach
  void unmount() throws Exception {
    if (mounted) {
      assertEquals(0, new ProcessBuilder("umount", disk.toString()).start().waitFor());
    }
  }

  /** Takes all of the disk but so many pages. */
  private void fill(int pages) {
    try {
      long free = Files.getFileStore(disk).getUsableSpace() - (long) pages * PAGE;
      Files.write(disk.resolve("ballast"), new byte[Math.toIntExact(free)]);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /** Runs it, and fills the disk in the moment in which it says these words. */
  private Outcome filledAt(String words, int pages, String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err =
        new StringWriter() {
          private boolean filled;

          @Override
          public void write(String text, int from, int length) {
            super.write(text, from, length);
            if (!filled && text.contains(words)) {
              filled = true;
              fill(pages);
            }
          }
        };
    int code = Main.run(arguments, new PrintWriter(out), new PrintWriter(err), false);
    return new Outcome(code, out.toString(), err.toString());
  }

  @Test
  void aSearchEndsInASentenceAndGoesOnWhereThereIsSpaceAgain() throws IOException {
    Path whole = folder.resolve("whole");
    runs.search("--epochs=3", "--out=" + whole).succeeded();
    int ended = 0;
    for (int pages = 0; pages < 60; pages += 1 + pages / 3) {
      Path run = disk.resolve("run" + pages);
      Outcome full =
          filledAt("epoch 1 done", pages, runs.searchFlags("--epochs=3", "--out=" + run));
      if (full.code() != 0) {
        ended++;
        full.refusedAtTheEnd(5, run.toString(), "No space left on device", "free some space");
        assertEquals(1, full.err().lines().filter(l -> l.contains("No space")).count());
        Files.delete(disk.resolve("ballast"));
        SmallRuns.run("search", "--resume", run.toString()).succeeded();
      }
      assertEquals(SmallRuns.results(whole), SmallRuns.results(run), pages + " pages were left");
      Files.deleteIfExists(disk.resolve("ballast"));
    }
    assertTrue(ended > 3, "only " + ended + " runs ended early");
  }
}
