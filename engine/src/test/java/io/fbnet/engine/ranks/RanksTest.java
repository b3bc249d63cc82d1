package io.fbnet.engine.ranks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.ranks.Mpirun.Launcher;
import io.fbnet.engine.ranks.Mpirun.Outcome;
import io.fbnet.foreign.MpiLauncher;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Real ranks: processes that mpirun starts, by either family of libraries. */
class RanksTest {
  @TempDir private Path folder;

  private Outcome run(Launcher launcher, int ranks, String... arguments) throws Exception {
    return run(launcher, ranks, Map.of(), arguments);
  }

  private Outcome run(
      Launcher launcher, int ranks, Map<String, String> environment, String... arguments)
      throws Exception {
    return new Mpirun(RankMain.class, folder).run(launcher, ranks, environment, arguments);
  }

  @ParameterizedTest
  @EnumSource(Launcher.class)
  void twoRanksExchangeAndJavaKeepsItsSignals(Launcher launcher) throws Exception {
    // Left so, UCX would end Java at its first null.
    Map<String, String> environment = Map.of("UCX_ERROR_SIGNALS", "ILL,SEGV,BUS,FPE");
    Outcome outcome = run(launcher, 2, environment, "exchange+traps");
    assertEquals(0, outcome.code(), outcome.output());
    assertTrue(outcome.output().contains("rank 0 of 2"), outcome.output());
    assertTrue(outcome.output().contains("rank 1 of 2"), outcome.output());
    // Not a bit depends on the library or the run: it was found by this test's first.
    assertEquals(
        "hash e4a22244b4e91ac2d80d10981ec153c62ed689b3c5a8832b940e8d122ab0d9dd",
        outcome.line("hash "));
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void moreRanksThanProcessorsExchange(Launcher launcher) throws Exception {
    Outcome outcome = run(launcher, 4, "exchange");
    assertEquals(0, outcome.code(), outcome.output());
    assertEquals(
        "hash a85bc46ab374002d0232165634f5f64db2f0f8dfdfbb6a884147c34fc6e0f76f",
        outcome.line("hash "));
    assertEquals(0, run(launcher, 3, "exchange").code());
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatStaysAwayIsNotAwaitedForEver(Launcher launcher) throws Exception {
    Outcome outcome = run(launcher, 2, "absent", "1500");
    outcome.assertCode(RankMain.FAILED, launcher);
    assertTrue(
        outcome.output().contains("RankFailure: no answer from other ranks for 1.5 s in mean"),
        outcome.output());
    assertTrue(outcome.output().contains("(this is rank 0 of 2)"), outcome.output());
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatIsKilledEndsTheOthers(Launcher launcher) throws Exception {
    long begin = System.nanoTime();
    Outcome outcome = run(launcher, 2, "killed");
    assertNotEquals(0, outcome.code(), outcome.output());
    // Long before their own patience of a minute ends; it takes the launcher about a second.
    assertTrue(System.nanoTime() - begin < TimeUnit.SECONDS.toNanos(50), outcome.output());
  }

  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void aRankThatFailsEndsTheOthers(Launcher launcher) throws Exception {
    Outcome outcome = run(launcher, 4, "leaves");
    outcome.assertCode(1, launcher);
    assertTrue(outcome.output().contains("this rank has had enough"), outcome.output());
    assertFalse(outcome.output().contains("RankFailure"), outcome.output());
  }

  /** Each process would be the only one by that library, and train alone. */
  @Tag("full")
  @ParameterizedTest
  @EnumSource(Launcher.class)
  void theOtherVendorsLibraryIsRefused(Launcher launcher) throws Exception {
    boolean open = launcher == Launcher.OPEN_MPI;
    Path other = library(open ? "libmpich.so.12" : "libmpi.so.40");
    Outcome outcome = run(launcher, 2, Map.of("FBNET_MPI_PATH", other.toString()), "meets");
    outcome.assertCode(RankMain.FAILED, launcher);
    assertTrue(
        outcome.output().contains((open ? "Open MPI" : "MPICH") + "'s mpirun started 2 processes"),
        outcome.output());
    assertTrue(outcome.output().contains("sees 1"), outcome.output());
  }

  private static Path library(String name) {
    for (String place : List.of("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")) {
      if (Files.exists(Path.of(place, name))) {
        return Path.of(place, name);
      }
    }
    return assumeMissing(name);
  }

  private static Path assumeMissing(String name) {
    assumeTrue(false, "no test of the wrong library: " + name + " is not installed");
    throw new AssertionError();
  }

  @Test
  void aMissingLibraryIsNamedAndNoStackIsShown() throws Exception {
    Map<String, String> environment =
        Map.of("OMPI_COMM_WORLD_SIZE", "2", "FBNET_MPI_PATH", folder.toString());
    Outcome outcome = new Mpirun(RankMain.class, folder).run(List.of(), environment, "meets");
    assertEquals(RankMain.FAILED, outcome.code(), outcome.output());
    assertEquals(
        "RankFailure: Open MPI's mpirun started this process with others, but its MPI library"
            + " cannot be used here (FBNET_MPI_PATH="
            + folder
            + ": no library of Open MPI there): install Open MPI (Debian: openmpi-bin), or load its"
            + " module, or name the library's file or folder in FBNET_MPI_PATH; it must be the one"
            + " of Open MPI's mpirun",
        outcome.output().strip());
  }

  @Test
  void whoWasStartedByNobodyIsAloneWithoutALibrary() {
    assumeTrue(!Ranks.several(), "these tests themselves were started by a launcher");
    try (Communicator ranks = Ranks.ofThisProcess(() -> Duration.ofSeconds(1), note -> {})) {
      assertEquals(Communicator.alone(), ranks);
    }
  }

  @Test
  void aLauncherThatTellsNoSizeIsBelieved() {
    Ranks.requireSize(new MpiLauncher("a PMIx launcher", 0, List.of()), 1, "MPI");
    Ranks.requireSize(new MpiLauncher("srun", 3, List.of()), 3, "MPI");
  }
}
