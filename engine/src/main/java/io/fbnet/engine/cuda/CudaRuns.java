package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** A table of short copies for the kernels of {@code runs.cu}. */
final class CudaRuns {
  /** Of an entry of the table. */
  static final long BYTES = 24;

  private record Run(long from, long to, int elements, boolean narrow) {}

  private final List<Run> runs = new ArrayList<>();
  private final int longest;

  /**
   * An empty table.
   *
   * @param longest elements of a run; longer ones are cut
   */
  CudaRuns(int longest) {
    this.longest = longest;
  }

  /**
   * Adds a copy of f32 elements.
   *
   * @param from address, or place in each part of a sum, in elements
   * @param unit bytes of {@code from} that one element takes: 4 for an address, 1 for a place
   * @param to address
   * @param elements to copy
   * @param narrow whether they become bf16
   */
  private void add(long from, int unit, long to, long elements, boolean narrow) {
    int width = width(narrow);
    for (long at = 0; at < elements; at += longest) {
      int n = (int) Math.min(longest, elements - at);
      runs.add(new Run(from + at * unit, to + at * width, n, narrow));
    }
  }

  /** Adds a copy of f32 weights, to bf16 where {@code narrow}. */
  void copy(MemorySegment from, MemorySegment to, long elements, boolean narrow) {
    add(from.address(), Float.BYTES, to.address(), elements, narrow);
  }

  /** Adds elements of a sum of parts: from this place in each part to f32 memory. */
  void gather(long place, MemorySegment to, long elements) {
    add(place, 1, to.address(), elements, false);
  }

  int count() {
    return runs.size();
  }

  boolean isEmpty() {
    return runs.isEmpty();
  }

  long elements() {
    return runs.stream().mapToLong(Run::elements).sum();
  }

  private static int width(boolean narrow) {
    return narrow ? Short.BYTES : Float.BYTES;
  }

  long writtenBytes() {
    return runs.stream().mapToLong(run -> (long) run.elements() * width(run.narrow())).sum();
  }

  /** {@return the table on the device, released with the graph} */
  MemorySegment upload(CudaContext context) {
    long bytes = BYTES * runs.size();
    MemorySegment device = context.own(bytes);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(bytes, Long.BYTES);
      for (int i = 0; i < runs.size(); i++) {
        Run run = runs.get(i);
        long at = i * BYTES;
        host.set(JAVA_LONG, at, run.from());
        host.set(JAVA_LONG, at + 8, run.to());
        host.set(JAVA_INT, at + 16, run.elements());
        host.set(JAVA_INT, at + 20, run.narrow() ? 1 : 0);
      }
      context.backend.copyIn(host, device, bytes / Float.BYTES);
    }
    return device;
  }
}
