package io.fbnet.foreign;

import java.util.List;
import java.util.Map;

/**
 * Who started this process together with others, as the environment tells. Nothing is loaded or
 * called to find out.
 *
 * @param name for a person; empty where nobody did
 * @param size how many processes were started, 0 where the launcher does not say
 * @param libraries the MPI libraries that understand this launcher, the likeliest first
 */
public record MpiLauncher(String name, int size, List<Library> libraries) {
  /** The families of libraries; within one, programs need not be compiled again. */
  public enum Library {
    /** Open MPI 2 to 5 and its descendants. */
    OPEN_MPI("Open MPI", "openmpi-bin", "libmpi.so.40", "libmpi.so.20"),
    /** MPICH 3.1 and later, and whatever keeps its binary interface: Intel MPI, MVAPICH, Cray. */
    MPICH("MPICH", "mpich", "libmpich.so.12", "libmpi.so.12");

    final String title;
    final String debian;
    private final String soname;
    private final String other;

    Library(String title, String debian, String soname, String other) {
      this.title = title;
      this.debian = debian;
      this.soname = soname;
      this.other = other;
    }

    /** The names of its file, the likeliest first. */
    List<String> sonames() {
      return List.of(soname, other);
    }
  }

  private static final List<Library> PMIX = List.of(Library.OPEN_MPI, Library.MPICH);
  private static final List<Library> PMI = List.of(Library.MPICH, Library.OPEN_MPI);

  public MpiLauncher {
    libraries = List.copyOf(libraries);
  }

  /** Who started this process. */
  public static MpiLauncher ofThisProcess() {
    return of(System.getenv());
  }

  /**
   * The same for any environment. A launcher's own variables count before those of a job in which
   * it runs: MPICH's mpirun starts its helpers by srun, whose count of tasks is that of nodes. A
   * batch script, which has variables of a job but none of a step, was started by nobody.
   */
  static MpiLauncher of(Map<String, String> environment) {
    if (environment.containsKey("OMPI_COMM_WORLD_SIZE")) {
      return new MpiLauncher(
          "Open MPI's mpirun",
          number(environment.get("OMPI_COMM_WORLD_SIZE")),
          List.of(Library.OPEN_MPI));
    }
    boolean step = environment.containsKey("SLURM_STEP_NUM_TASKS");
    if (environment.containsKey("PMI_SIZE")
        && (environment.containsKey("MPI_LOCALRANKID") || !step)) {
      return new MpiLauncher(
          "MPICH's mpirun", number(environment.get("PMI_SIZE")), List.of(Library.MPICH));
    }
    boolean pmix = environment.containsKey("PMIX_RANK");
    if (step) {
      return new MpiLauncher(
          "srun", number(environment.get("SLURM_STEP_NUM_TASKS")), pmix ? PMIX : PMI);
    }
    return pmix ? new MpiLauncher("a PMIx launcher", 0, PMIX) : new MpiLauncher("", 1, PMIX);
  }

  /** Whether there may be other processes. */
  public boolean several() {
    return size != 1;
  }

  private static int number(String text) {
    try {
      return Math.max(0, Integer.parseInt(text.strip()));
    } catch (NumberFormatException unknown) {
      return 0;
    }
  }
}
