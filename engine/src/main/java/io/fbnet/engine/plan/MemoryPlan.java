package io.fbnet.engine.plan;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Places buffers with known lifetimes in one arena: the largest first, each at the lowest offset
 * where no placed buffer of an overlapping lifetime lies. A pure function, so that the same graph
 * always gets the same addresses.
 */
public final class MemoryPlan {
  /** Every offset is a multiple of this. */
  public static final long ALIGNMENT = 256;

  /**
   * One buffer.
   *
   * @param first the step that writes it
   * @param last the last step that reads or writes it
   * @param bytes its size
   * @param choice of which one alternative alone writes and reads it; -1 where there is none
   * @param alternative of the choice
   */
  public record Lifetime(int first, int last, long bytes, int choice, int alternative) {
    public Lifetime {
      if (first > last || bytes < 0) {
        throw new IllegalArgumentException(
            "a lifetime from " + first + " to " + last + " of " + bytes + " bytes");
      }
    }

    /** A buffer that is no alternative's own. */
    public Lifetime(int first, int last, long bytes) {
      this(first, last, bytes, -1, 0);
    }

    /** Whether both live at once in some run. */
    boolean overlaps(Lifetime other) {
      return first <= other.last
          && other.first <= last
          && (choice < 0 || choice != other.choice || alternative == other.alternative);
    }
  }

  private final long[] offsets;
  private final long bytes;
  private final long naiveBytes;

  private MemoryPlan(long[] offsets, long bytes, long naiveBytes) {
    this.offsets = offsets;
    this.bytes = bytes;
    this.naiveBytes = naiveBytes;
  }

  /** The place of lifetime {@code i} of those given, in bytes. */
  public long offset(int i) {
    return offsets[i];
  }

  /** The size of the arena. */
  public long bytes() {
    return bytes;
  }

  /** What the buffers would take without sharing. */
  public long naiveBytes() {
    return naiveBytes;
  }

  /** Plans the arena. */
  public static MemoryPlan of(List<Lifetime> lifetimes) {
    int n = lifetimes.size();
    long[] offsets = new long[n];
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      order.add(i);
    }
    order.sort(
        Comparator.comparingLong((Integer i) -> -lifetimes.get(i).bytes())
            .thenComparingInt(i -> i));
    List<Integer> placed = new ArrayList<>();
    long total = 0;
    long naive = 0;
    for (int i : order) {
      Lifetime lifetime = lifetimes.get(i);
      long size = align(lifetime.bytes());
      long offset = 0;
      // "placed" is kept in the order of offsets, so one sweep finds the lowest gap.
      for (int j : placed) {
        if (lifetime.overlaps(lifetimes.get(j))) {
          if (offset + size <= offsets[j]) {
            break;
          }
          offset = Math.max(offset, offsets[j] + align(lifetimes.get(j).bytes()));
        }
      }
      offsets[i] = offset;
      int at = 0;
      while (at < placed.size() && offsets[placed.get(at)] <= offset) {
        at++;
      }
      placed.add(at, i);
      total = Math.max(total, offset + size);
      naive += size;
    }
    return new MemoryPlan(offsets, total, naive);
  }

  private static long align(long bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
}
