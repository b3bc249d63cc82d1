package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Precision;
import io.fbnet.engine.cuda.CudaBackend;
import io.fbnet.engine.cuda.CudaOptions;
import io.fbnet.engine.cuda.NcclAlone;
import io.fbnet.engine.cuda.SoftwareCuda;
import io.fbnet.engine.cuda.SoftwareCuda.Count;
import io.fbnet.engine.cuda.SoftwareCuda.Live;
import io.fbnet.engine.graph.AcrossRanks;
import io.fbnet.engine.graph.Graph;
import io.fbnet.engine.ranks.Mpirun;
import io.fbnet.engine.ranks.Mpirun.Launcher;
import io.fbnet.engine.ranks.Mpirun.Outcome;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Real ranks, each on a software CUDA device of its own or on one that they share. */
class GpuRanksTest {
  private static final String WAY = "GPUs exchange by way of the host";

  /** Of the gradients, early and late ones, of both sets' results, and of running statistics. */
  private static final int EXCHANGES_A_STEP = 6;

  @TempDir private Path folder;

  @BeforeEach
  void needsSoftwareDevice() {
    assumeTrue(SoftwareCuda.present(), "several devices are those of the software CUDA device");
  }

  private Outcome run(Launcher launcher, int devices, String... arguments) throws Exception {
    return run(launcher, Map.of("SOFT_CUDA_DEVICES", "" + devices), arguments);
  }

  private Outcome run(Launcher launcher, Map<String, String> environment, String... arguments)
      throws Exception {
    return new Mpirun(GpuRankMain.class, folder).run(launcher, 2, environment, arguments);
  }

  private static int number(Outcome outcome, String name) {
    return Integer.parseInt(outcome.line(name + " ").substring(name.length() + 1));
  }

  private static RanksTest.End alone(boolean nccl) {
    SoftwareCuda.reset();
    CudaOptions sameBits = new CudaOptions(Precision.F32, true, true, true);
    try (CudaBackend backend = Devices.cuda(sameBits)) {
      if (nccl) {
        NcclAlone.join(backend);
      }
      return RanksTest.train(backend, true, false, GpuRankMain.STEPS, 0, step -> {});
    }
  }

  @Test
  void aCommunicatorOfOneChangesNothingAndIsCaptured() {
    RanksTest.End without = alone(false);
    assertEquals(0, SoftwareCuda.count(Count.EXCHANGES));
    RanksTest.End with = alone(true);
    assertEquals(EXCHANGES_A_STEP * GpuRankMain.STEPS, SoftwareCuda.count(Count.EXCHANGES));
    assertEquals(GpuRankMain.STEPS - 1, SoftwareCuda.count(Count.GRAPH_LAUNCHES));
    RanksTest.assertEqualBits(List.of(without, with));
    assertEquals(0, SoftwareCuda.live(Live.COMMUNICATORS));
  }

  /** NCCL would wait for the end of a graph that is still there. */
  @Test
  void aBackEndThatIsClosedBeforeItsProgramsWaitsForNothing() {
    SoftwareCuda.reset();
    CudaBackend backend = Devices.cuda(CudaOptions.DEFAULT);
    NcclAlone.join(backend);
    Graph graph =
        AcrossRanks.share(
            SmallSupernet.of(2, false, SmallSupernet.Update.BOTH_OPTIMISERS).graph(), 0, false);
    Instance instance = new Instance(backend, graph, 1);
    for (int i = 0; i < 3; i++) {
      instance.program.run();
    }
    backend.close();
    assertEquals(0, SoftwareCuda.live(Live.COMMUNICATORS));
    assertEquals(0, SoftwareCuda.live(Live.EXECUTABLE_GRAPHS));
    instance.close();
  }

  /** A rank comes late to a step: the other's stream waits for it. */
  @Test
  void byNcclTheyDoWhatTheyDoThroughTheHost() throws Exception {
    byNccl(Launcher.OPEN_MPI);
  }

  @Tag("full")
  @Test
  void soTheyDoByMpich() throws Exception {
    byNccl(Launcher.MPICH);
  }

  /** Norms over the images of both exchange in the middle of the step, in f64 too. */
  @Tag("full")
  @Test
  void soDoNormsOfBoth() throws Exception {
    Outcome nccl = run(Launcher.OPEN_MPI, 2, "trains", "60000", "norms");
    assertEquals(0, nccl.code(), nccl.output());
    assertTrue(number(nccl, "exchanges") > 2 * EXCHANGES_A_STEP * GpuRankMain.STEPS, nccl.output());
    assertEquals(GpuRankMain.STEPS - 1, number(nccl, "graphs"), nccl.output());
    Outcome host = run(Launcher.OPEN_MPI, 1, "trains", "60000", "norms");
    assertEquals(0, host.code(), host.output());
    assertEquals(host.line("hash "), nccl.line("hash "));
  }

  private void byNccl(Launcher launcher) throws Exception {
    Outcome nccl = run(launcher, 2, "late", "60000", "own");
    assertEquals(0, nccl.code(), nccl.output());
    assertFalse(nccl.output().contains("note of"), nccl.output());
    assertEquals(EXCHANGES_A_STEP * GpuRankMain.STEPS, number(nccl, "exchanges"), nccl.output());
    // The first step is launched kernel by kernel; all others are one graph.
    assertEquals(GpuRankMain.STEPS - 1, number(nccl, "graphs"), nccl.output());
    Outcome host = run(launcher, 1, "trains", "60000", "own");
    assertEquals(0, host.code(), host.output());
    assertEquals(
        "note of 0: "
            + WAY
            + ", which is slower, since they cannot by NCCL: ranks 0 and 1 share a"
            + " GPU",
        host.line("note of"));
    assertEquals(1, host.output().lines().filter(l -> l.startsWith("note of")).count());
    assertEquals(0, number(host, "exchanges"), host.output());
    assertTrue(number(host, "graphs") > GpuRankMain.STEPS, host.output());
    assertEquals(host.line("hash "), nccl.line("hash "));
  }

  @Tag("full")
  @Test
  void withoutNcclTheySaySoAndWhatToDo() throws Exception {
    Path found = Path.of(System.getenv("FBNET_CUDA_PATH"));
    Path without = Files.createDirectory(folder.resolve("without"));
    for (String name :
        List.of("libcuda.so.1", "libcudnn.so.9", "libcublasLt.so.13", "libnvrtc.so.13")) {
      Files.createSymbolicLink(without.resolve(name), found.resolve(name));
    }
    Map<String, String> environment = new HashMap<>(Map.of("SOFT_CUDA_DEVICES", "2"));
    environment.put("FBNET_CUDA_PATH", without.toString());
    Outcome outcome = run(Launcher.OPEN_MPI, environment, "trains", "60000", "own");
    assertEquals(0, outcome.code(), outcome.output());
    String note = outcome.line("note of 0: " + WAY);
    assertTrue(note.contains("on rank 0, NCCL was not found; install NCCL 2"), note);
    assertTrue(number(outcome, "graphs") > GpuRankMain.STEPS, outcome.output());
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatStaysAwayIsNotAwaitedForEver(Launcher launcher) throws Exception {
    Outcome outcome = run(launcher, 2, "absent", "1500", "own");
    outcome.assertCode(GpuRankMain.FAILED, launcher);
    assertEquals(
        "RankFailure: no answer from other ranks for 1.5 s in a step on the GPU: one of them is"
            + " gone or stuck (this is rank 0 of 2)",
        outcome.line("RankFailure"));
  }

  /** NCCL knows before the patience ends. */
  @Tag("full")
  @Test
  void aRankWhoseGpuHasLeftIsSaidAtOnce() throws Exception {
    Outcome outcome = run(Launcher.OPEN_MPI, 2, "leaves", "60000", "own");
    outcome.assertCode(GpuRankMain.FAILED, Launcher.OPEN_MPI);
    assertEquals(
        "RankFailure: the exchange between GPUs failed: ncclCommGetAsyncError returned 6 (remote"
            + " process exited or a network error: rank 1 has left or is gone) (this is rank 0 of"
            + " 2)",
        outcome.line("RankFailure"));
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatIsKilledEndsTheOthers(Launcher launcher) throws Exception {
    long begin = System.nanoTime();
    Outcome outcome = run(launcher, 2, "killed", "60000", "own");
    assertNotEquals(0, outcome.code(), outcome.output());
    // Long before their patience of a minute ends.
    assertTrue(System.nanoTime() - begin < TimeUnit.SECONDS.toNanos(50), outcome.output());
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatFailsSaysItsOwnAndEndsTheOthers(Launcher launcher) throws Exception {
    Outcome outcome = run(launcher, 2, "fails", "60000", "own");
    assertNotEquals(0, outcome.code(), outcome.output());
    assertTrue(outcome.output().contains("this rank has had enough"), outcome.output());
  }
}
