package io.fbnet.engine.ranks;

import io.fbnet.engine.backend.Communicator;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.foreign.Availability;
import io.fbnet.foreign.ForeignException;
import io.fbnet.foreign.Mpi;
import io.fbnet.foreign.MpiLauncher;
import java.time.Duration;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** The processes that were started together with this one, by {@code mpirun} or {@code srun}. */
public final class Ranks {
  private Ranks() {}

  /**
   * {@return whether the MPI library of this process's launcher can be used, with its version or
   * the remedy; where no launcher started it, whether there is any}
   */
  public static Availability library() {
    return Mpi.availability();
  }

  /**
   * {@return whether a launcher started this process together with others, as far as the
   * environment tells} Nothing is loaded to find out.
   */
  public static boolean several() {
    return MpiLauncher.ofThisProcess().several();
  }

  /**
   * {@return the communicator of this process: {@link Communicator#alone()}, without a look at any
   * library, where no launcher started it or it was started as the only one; else that of MPI, once
   * all the processes have come here} At most once a process.
   *
   * @param patience how long a rank waits for the others in an exchange, more than 0, as of the
   *     moment; the first meeting, which is MPI's own, has no limit, nor has the end
   * @param notes is told, once, of a slower way that must be taken, and why
   * @throws RankFailure where others were started but MPI cannot be used, or is not the launcher's
   */
  public static Communicator ofThisProcess(Supplier<Duration> patience, Consumer<String> notes) {
    Objects.requireNonNull(patience, "no time to wait");
    Objects.requireNonNull(notes, "nobody to tell");
    MpiLauncher launcher = MpiLauncher.ofThisProcess();
    if (!launcher.several()) {
      return Communicator.alone();
    }
    Availability library = library();
    if (!library.found()) {
      throw new RankFailure(
          launcher.name()
              + " started this process with others, but its MPI library cannot be used here ("
              + String.join("; ", library.tried())
              + "): "
              + library.remedy(),
          null);
    }
    Mpi mpi;
    try {
      mpi = Mpi.initialise();
    } catch (ForeignException e) {
      throw new RankFailure(library.version() + " cannot be initialised: " + e.getMessage(), e);
    }
    requireSize(launcher, mpi.size(), library.version());
    return new MpiCommunicator(mpi, patience, notes);
  }

  /** Under the launcher of another library each process would think itself the only one. */
  static void requireSize(MpiLauncher launcher, int size, String library) {
    if (launcher.size() != 0 && launcher.size() != size) {
      throw new RankFailure(
          launcher.name()
              + " started "
              + launcher.size()
              + " processes, but "
              + library
              + " sees "
              + size
              + ": it is not the library of this launcher; "
              + (launcher.name().equals("srun")
                  ? "say which with srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH), or "
                  : "")
              + "name the launcher's own library in FBNET_MPI_PATH",
          null);
    }
  }
}
