package io.fbnet.foreign;

import static io.fbnet.foreign.MpiLauncher.Library.MPICH;
import static io.fbnet.foreign.MpiLauncher.Library.OPEN_MPI;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who started a process, and which MPI library is taken for it. */
class MpiTest {
  private static final Path SAMPLE =
      Path.of(System.getProperty("java.home"), "lib", "libsyslookup.so");

  @TempDir private Path folder;

  @Test
  void launchersAreKnownByTheirVariables() {
    assertEquals(
        new MpiLauncher("Open MPI's mpirun", 4, List.of(OPEN_MPI)),
        MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "4", "PMIX_RANK", "0")));
    assertEquals(
        new MpiLauncher("MPICH's mpirun", 3, List.of(MPICH)),
        MpiLauncher.of(Map.of("PMI_SIZE", "3", "PMI_RANK", "2", "MPI_LOCALRANKID", "1")));
    assertEquals(
        new MpiLauncher("srun", 8, List.of(OPEN_MPI, MPICH)),
        MpiLauncher.of(Map.of("SLURM_STEP_NUM_TASKS", "8", "PMIX_RANK", "5")));
    assertEquals(
        new MpiLauncher("srun", 8, List.of(MPICH, OPEN_MPI)),
        MpiLauncher.of(Map.of("SLURM_STEP_NUM_TASKS", "8", "PMI_SIZE", "8", "PMI_RANK", "1")));
    assertEquals(
        new MpiLauncher("a PMIx launcher", 0, List.of(OPEN_MPI, MPICH)),
        MpiLauncher.of(Map.of("PMIX_RANK", "5")));
  }

  /** Hydra starts one helper a node by srun, so the step's count is none of processes. */
  @Test
  void mpirunCountsBeforeTheJobAroundIt() {
    assertEquals(
        new MpiLauncher("MPICH's mpirun", 16, List.of(MPICH)),
        MpiLauncher.of(
            Map.of("PMI_SIZE", "16", "MPI_LOCALRANKID", "3", "SLURM_STEP_NUM_TASKS", "2")));
    assertEquals(
        new MpiLauncher("Open MPI's mpirun", 16, List.of(OPEN_MPI)),
        MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "16", "SLURM_STEP_NUM_TASKS", "2")));
  }

  @Test
  void whoIsStartedByNobodyOrAsTheOnlyOneIsAlone() {
    assertFalse(MpiLauncher.of(Map.of()).several());
    // A batch script has the job's variables, but no step started it.
    assertFalse(MpiLauncher.of(Map.of("SLURM_NTASKS", "4", "SLURM_PROCID", "0")).several());
    assertFalse(MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "1")).several());
    assertFalse(MpiLauncher.of(Map.of("SLURM_STEP_NUM_TASKS", "1")).several());
    assertTrue(MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "2")).several());
    assertTrue(MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "")).several());
  }

  private LibrarySearch.Found find(Path path, Map<String, String> launcher) {
    return new MpiSearch(Map.of(MpiSearch.VARIABLE, path.toString()), MpiLauncher.of(launcher))
        .find();
  }

  /** The variable is an order: where it leads nowhere, nothing else is taken in silence. */
  @Test
  void theVariableIsTheOnlyPlaceThen() throws IOException {
    LibrarySearch.Found found = find(folder, Map.of());
    assertNull(found.symbols());
    assertEquals(
        List.of("FBNET_MPI_PATH=" + folder + ": no library of Open MPI or MPICH there"),
        found.tried());
    Path missing = folder.resolve("libmpi.so.40");
    assertEquals(
        List.of("FBNET_MPI_PATH=" + missing + ": no library of Open MPI or MPICH there"),
        find(missing, Map.of()).tried());
    assumeTrue(Files.exists(SAMPLE), "this JDK has no " + SAMPLE);
    byte[] image = Files.readAllBytes(SAMPLE);
    // The field e_machine: a library for a processor that does not exist.
    image[18] = (byte) 0xff;
    Files.write(missing, image);
    assertEquals(List.of(missing + ": does not load"), find(folder, Map.of()).tried());
    assertEquals(List.of(missing + ": does not load"), find(missing, Map.of()).tried());
  }

  @Test
  void whatIsNoMpiLibraryIsRefused() throws IOException {
    assumeTrue(Files.exists(SAMPLE), "this JDK has no " + SAMPLE);
    Path file = Files.createDirectories(folder.resolve("lib")).resolve("libmpi.so.12");
    Files.copy(SAMPLE, file);
    LibrarySearch.Found found = find(folder, Map.of("PMI_SIZE", "2"));
    assertNull(found.symbols());
    assertEquals(
        List.of(file + ": neither Open MPI nor of MPICH's binary interface"), found.tried());
    // Open MPI's launcher has no use for a file of that name, so it is not even opened.
    assertEquals(
        List.of("FBNET_MPI_PATH=" + folder + ": no library of Open MPI there"),
        find(folder, Map.of("OMPI_COMM_WORLD_SIZE", "2")).tried());
  }

  @Test
  void theRemedyNamesWhatTheLauncherNeeds() {
    String open = MpiSearch.remedy(MpiLauncher.of(Map.of("OMPI_COMM_WORLD_SIZE", "2")));
    assertTrue(open.startsWith("install Open MPI (Debian: openmpi-bin), "), open);
    assertTrue(open.endsWith("it must be the one of Open MPI's mpirun"), open);
    String any = MpiSearch.remedy(MpiLauncher.of(Map.of()));
    assertTrue(any.startsWith("install Open MPI or MPICH (Debian: openmpi-bin or mpich), "), any);
  }

  @Test
  void versionsAreCutFromWhatLibrariesSay() {
    assertEquals(
        "Open MPI 4.1.4",
        Mpi.title("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4"));
    assertEquals(
        "MPICH 4.0.2", Mpi.title("MPICH Version:      4.0.2\nMPICH Release date: Thu Apr  7\n"));
    assertEquals(
        "Intel(R) MPI Library 2021.11 for Linux* OS",
        Mpi.title("Intel(R) MPI Library 2021.11 for Linux* OS\n"));
    assertEquals(
        "MPI CRAY MPICH 8.1.27.26",
        Mpi.title("MPI VERSION    : CRAY MPICH version 8.1.27.26 (ANL base 3.4a2)\n"));
  }

  /** Whatever is installed here: it is described, and nothing is initialised. */
  @Test
  void theLibraryIsDescribed() {
    Availability mpi = Mpi.availability();
    assertEquals("MPI", mpi.library());
    assertFalse(mpi.tried().isEmpty());
    assertEquals(mpi.found(), mpi.remedy().isEmpty());
    assertEquals(mpi.found(), !mpi.version().isEmpty());
    assumeTrue(mpi.found(), () -> "no MPI library here: " + mpi.tried());
    assertTrue(mpi.version().matches("(Open MPI|MPICH) [0-9.]+ \\(lib.*\\)"), mpi.version());
    assertEquals(List.of(), MpiRaw.BINDER.missing());
  }
}
