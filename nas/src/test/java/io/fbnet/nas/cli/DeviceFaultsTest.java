package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.cuda.SoftwareCuda.Call;
import io.fbnet.engine.cuda.SoftwareCuda.Live;
import io.fbnet.nas.cli.MainTest.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * One allocation, launch or copy of a search or a training fails on the device: it ends in one
 * sentence with exit code 4, and resumed it ends as if nothing had been.
 */
class DeviceFaultsTest {
  private static final int FIRST = 50;

  @TempDir Path folder;
  private Path run;

  /** A kind of call, and what the device or its library answers. */
  private enum Fault {
    MEMORY(Call.ALLOCATION, 2),
    LAUNCH(Call.LAUNCH, 719),
    COPY(Call.COPY, 700),
    GRAPH(Call.GRAPH_LAUNCH, 719),
    CONVOLUTION(Call.CONVOLUTION, 5000),
    PRODUCT(Call.PRODUCT, 13);

    final Call call;
    final int code;

    Fault(Call call, int code) {
      this.call = call;
      this.code = code;
    }
  }

  @BeforeEach
  void onTheSoftwareDevice() {
    assumeTrue(SoftwareCuda.present(), "failures can be injected into the software device alone");
    // The driver's first initialisation forgets what was injected before it.
    assertEquals("", CudaBackend.obstacle());
    SoftwareCuda.reset();
    run = folder.resolve("run");
  }

  @AfterEach
  void fresh() {
    if (SoftwareCuda.present()) {
      SoftwareCuda.reset();
    }
  }

  private void clear() throws IOException {
    if (Files.exists(run)) {
      try (Stream<Path> files = Files.walk(run)) {
        for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
          Files.delete(file);
        }
      }
    }
  }

  /** Fails each of the first calls of a kind, and then at distances of so many quarters. */
  private void sweep(String[] begin, int first, int growth) throws IOException {
    SmallRuns.run(begin).succeeded();
    Map<String, String> unbroken = SmallRuns.results(run);
    for (Fault fault : Fault.values()) {
      int ended = 0;
      int nth = 1;
      boolean met = true;
      while (met) {
        clear();
        SoftwareCuda.reset();
        SoftwareCuda.fail(fault.call, nth, fault.code, false);
        Outcome outcome = SmallRuns.run(begin);
        met = outcome.code() != 0;
        if (met) {
          ended++;
          oneSentence(outcome, fault + " " + nth);
        }
        SoftwareCuda.reset();
        boolean resumable = Files.exists(run.resolve("config.yaml"));
        SmallRuns.run(resumable ? new String[] {begin[0], "--resume", run.toString()} : begin)
            .succeeded();
        assertEquals(unbroken, SmallRuns.results(run), fault + " " + nth);
        nth += nth < first ? 1 : Math.max(1, (nth - first) * growth / 4);
      }
      System.out.println(
          begin[0] + ": " + ended + " calls failed up to number " + nth + " of " + fault);
      assertTrue(ended > 0, "no call of the kind " + fault);
    }
  }

  private void oneSentence(Outcome outcome, String what) {
    String said = what + ": " + outcome.err();
    assertEquals(4, outcome.code(), said);
    List<String> lines = outcome.err().lines().toList();
    String last = lines.getLast();
    assertTrue(last.startsWith("fbnet: ") && !last.startsWith("fbnet: warning"), said);
    assertFalse(outcome.err().contains("\tat ") || last.contains("internal"), said);
    assertEquals(1, lines.stream().filter(DeviceFaultsTest::tellsOfAnError).count(), said);
    boolean trains = Files.exists(run.resolve("metrics.jsonl"));
    assertTrue(
        last.contains("batch") || last.contains("memory") || last.contains("--resume") || !trains,
        said);
    for (Live kind : Live.values()) {
      assertEquals(0, SoftwareCuda.live(kind), kind + " after " + said);
    }
  }

  private static boolean tellsOfAnError(String line) {
    return line.matches("fbnet: .*(cannot allocate|out of memory| failed| is lost).*");
  }

  private String[] search(SmallRuns runs) {
    return runs.searchFlags(
        "--device=cuda", "--deterministic", "--train-images=20", "--out=" + run);
  }

  @Test
  void aSearchThatLosesACallGoesOn() throws IOException {
    sweep(search(new SmallRuns(folder)), 1, 128);
  }

  @Test
  @Tag("full")
  @Tag("sweep")
  void aSearchThatLosesAnyCallGoesOn() throws IOException {
    sweep(search(new SmallRuns(folder)), FIRST, 1);
  }

  @Test
  @Tag("full")
  @Tag("sweep")
  void aTrainingThatLosesAnyCallGoesOn() throws IOException {
    SmallRuns runs = new SmallRuns(folder);
    Path search = folder.resolve("search");
    runs.search("--out=" + search).succeeded();
    String[] train = {
      "train",
      search.resolve("architecture.json").toString(),
      "--data=" + runs.data,
      "--epochs=2",
      "--batch=8",
      "--device=cuda",
      "--deterministic",
      "--out=" + run
    };
    sweep(train, FIRST, 1);
  }
}
