package io.fbnet.engine.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.Objects;

/**
 * Processes that train one network together, each with a device of its own. All of them call the
 * same methods in the same order with arguments of the same sizes; a method returns once its own
 * process has what it asked for. One thread uses it.
 *
 * <p>Memory here is that of the host. Where one of the others is gone or does not answer, methods
 * throw {@link RankFailure}.
 */
public interface Communicator extends AutoCloseable {
  /** {@return which of the processes this is, from 0} */
  int rank();

  /** {@return how many processes there are, 1 or more} */
  int size();

  /** {@return which of the processes of this machine this is, from 0} */
  int localRank();

  /** {@return how many processes there are on this machine} */
  int localSize();

  /** {@return how long a rank waits for the others before it gives up, as of the moment} */
  Duration patience();

  /**
   * Replaces each element by its mean over the ranks. They are added in the order of ranks, so the
   * result has the same bits on every rank and in every run of as many.
   *
   * @param elements f32 or f64 of the host, 0 or more, as many on every rank
   * @param elementBytes 4 or 8
   */
  void mean(MemorySegment elements, int elementBytes);

  /**
   * {@return memory for what is exchanged often, zeroed: where ranks can see each other's memory
   * {@link #means} of it copy less}
   *
   * @param arena its owner
   * @param bytes its size
   * @throws OutOfMemoryError where the host has not as much
   */
  default MemorySegment allocate(Arena arena, long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("no memory of " + bytes + " bytes");
    }
    Objects.requireNonNull(arena, "no arena");
    return arena.allocate(Math.max(1, bytes), 64).asSlice(0, bytes);
  }

  /**
   * {@return what replaces the elements by their {@link #mean}, with the same bits, time after time
   * while the memory is there} All ranks call this where they call {@code mean}, and run what it
   * returns so.
   *
   * @param elements f32 or f64 of the host, as many on every rank
   * @param elementBytes 4 or 8
   */
  default Runnable means(MemorySegment elements, int elementBytes) {
    Objects.requireNonNull(elements, "no memory");
    return () -> mean(elements, elementBytes);
  }

  /**
   * Replaces the bytes of every other rank by those of one.
   *
   * @param bytes of the host, as many on every rank
   * @param root the rank whose bytes are kept
   */
  void broadcast(MemorySegment bytes, int root);

  /**
   * {@return what each rank gave, in order of rank}
   *
   * @param bytes of any length
   */
  List<byte[]> gather(byte[] bytes);

  /** Returns when every rank has come here. */
  void barrier();

  /**
   * Leaves the others in good order, once all have come here: the last that a rank does with them
   * when nothing has failed. Where ranks are threads of one process nothing has to be done.
   */
  default void finish() {}

  /**
   * Releases what this rank holds and waits for nobody, so a rank may close at any time. A process
   * that closes without having {@linkplain #finish finished} has to end with an exit code other
   * than 0: then the launcher ends the others, which would wait for it. Idempotent.
   */
  @Override
  void close();

  /**
   * {@return this process as one that works by itself, in its place among those of its machine: it
   * takes its own of several devices, and exchanges nothing}
   */
  default Communicator byItself() {
    return new Alone(localRank(), localSize());
  }

  /** {@return the one process that works by itself} */
  static Communicator alone() {
    return Alone.INSTANCE;
  }
}
