package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * An exchange under way. It moves on only while somebody asks; the memory it was given must stay
 * until it is done.
 */
public final class MpiRequest {
  /** Open until the exchange is done: the library may read its arrays until then. */
  private final Arena arena;

  private final String function;
  private final MemorySegment request;
  private final MemorySegment flag;
  private boolean done;

  MpiRequest(Arena arena, String function, MemorySegment request) {
    this.arena = arena;
    this.function = function;
    this.request = request;
    flag = arena.allocate(JAVA_INT);
  }

  /**
   * Moves the exchange on.
   *
   * @return whether this process has what it asked for
   * @throws ForeignException where it failed
   */
  public boolean done() {
    if (!done) {
      try {
        Mpi.check(
            (int) MpiRaw.TEST.invokeExact(request, flag, MpiRaw.STATUS_IGNORE),
            "MPI_Test",
            function);
        if (flag.get(JAVA_INT, 0) != 0) {
          done = true;
          arena.close();
        }
      } catch (Throwable t) {
        throw Dnnl.rethrow(t);
      }
    }
    return done;
  }
}
