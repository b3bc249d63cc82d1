package io.fbnet.engine.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/** Several pieces of the host's memory as one exchange between ranks. */
public final class RankMeans {
  private final Communicator ranks;
  private final List<MemorySegment> xs;
  private final List<MemorySegment> ys;
  private final int elementBytes;
  private final MemorySegment together;

  /** Agreed upon with the other ranks when it is first needed. */
  private Runnable inPlace;

  private RankMeans(
      Communicator ranks, List<MemorySegment> xs, List<MemorySegment> ys, int elementBytes) {
    if (xs.isEmpty() || xs.size() != ys.size()) {
      throw new IllegalArgumentException(
          "as many means as there are values, one or more, not " + ys.size() + " of " + xs.size());
    }
    for (int i = 0; i < xs.size(); i++) {
      if (xs.get(i).byteSize() != ys.get(i).byteSize() || ys.get(i).isReadOnly()) {
        throw new IllegalArgumentException("a mean has the place and size of its values");
      }
    }
    this.ranks = Objects.requireNonNull(ranks, "no ranks");
    this.xs = List.copyOf(xs);
    this.ys = List.copyOf(ys);
    this.elementBytes = elementBytes;
    boolean oneInPlace = xs.size() == 1 && xs.equals(ys) && xs.getFirst().isNative();
    long bytes = xs.stream().mapToLong(MemorySegment::byteSize).sum();
    together = oneInPlace ? xs.getFirst() : Arena.ofAuto().allocate(bytes, 64);
  }

  /**
   * {@return what replaces ys by the means of xs over the ranks}
   *
   * @param ranks all of which run it
   * @param xs f32 or f64 of the host
   * @param ys of the same sizes; the xs themselves where they change in place
   * @param elementBytes 4 or 8
   */
  public static Kernel kernel(
      Communicator ranks, List<MemorySegment> xs, List<MemorySegment> ys, int elementBytes) {
    return new RankMeans(ranks, xs, ys, elementBytes)::run;
  }

  private void run() {
    if (together.equals(xs.getFirst())) {
      if (inPlace == null) {
        inPlace = ranks.means(together, elementBytes);
      }
      inPlace.run();
    } else {
      exchange(ranks, xs, ys, elementBytes, together);
    }
  }

  private static void exchange(
      Communicator ranks,
      List<MemorySegment> xs,
      List<MemorySegment> ys,
      int elementBytes,
      MemorySegment together) {
    long at = 0;
    for (MemorySegment x : xs) {
      MemorySegment.copy(x, 0, together, at, x.byteSize());
      at += x.byteSize();
    }
    ranks.mean(together, elementBytes);
    at = 0;
    for (MemorySegment y : ys) {
      MemorySegment.copy(together, at, y, 0, y.byteSize());
      at += y.byteSize();
    }
  }

  /**
   * Replaces each number by its mean over the ranks.
   *
   * @param ranks all of which call this
   * @param numbers as many on every rank, in arrays of as many
   */
  public static void of(Communicator ranks, double[]... numbers) {
    Objects.requireNonNull(numbers, "no numbers");
    if (ranks.size() == 1) {
      return;
    }
    List<MemorySegment> parts = Arrays.stream(numbers).map(MemorySegment::ofArray).toList();
    long bytes = parts.stream().mapToLong(MemorySegment::byteSize).sum();
    try (Arena arena = Arena.ofConfined()) {
      exchange(ranks, parts, parts, Double.BYTES, arena.allocate(bytes, Double.BYTES));
    }
  }
}
