package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Many short copies or sums of f32 elements, which one launch of {@code runs.cu} carries out. */
final class CudaRuns {
  /** Of an entry of the table. */
  private static final long BYTES = 32;

  /** Elements that a warp copies: enough to be worth looking at the table. */
  private static final int LONGEST = 512;

  /** The same of a sum: four for each lane. */
  private static final int LONGEST_SUM = 128;

  /** Parts of a sum that a lane loads at once. */
  private static final int PARTS_AT_ONCE = 4;

  private record Run(long from, long to, int elements, boolean narrow, int parts, int apart) {
    int width() {
      return narrow ? Short.BYTES : Float.BYTES;
    }

    /** Loads that wait for each other; a lane of a copy has four at once. */
    int rounds() {
      return parts > 1 ? Math.ceilDiv(parts, PARTS_AT_ONCE) : Math.ceilDiv(elements, LONGEST_SUM);
    }
  }

  private final List<Run> runs = new ArrayList<>();

  /**
   * Adds a copy.
   *
   * @param from f32
   * @param to f32, or bf16 where {@code narrow}
   */
  void add(MemorySegment from, MemorySegment to, long elements, boolean narrow) {
    add(from, to, elements, narrow, 1, 0);
  }

  /**
   * Adds a sum.
   *
   * @param from f32, the elements of the first part
   * @param parts that there are
   * @param apart elements from one part to the next
   * @param to f32
   */
  void addSum(MemorySegment from, int parts, int apart, MemorySegment to, long elements) {
    add(from, to, elements, false, parts, apart);
  }

  private void add(
      MemorySegment from, MemorySegment to, long elements, boolean narrow, int parts, int apart) {
    int longest = parts > 1 ? LONGEST_SUM : LONGEST;
    for (long at = 0; at < elements; at += longest) {
      long place = to.address() + at * (narrow ? Short.BYTES : Float.BYTES);
      int n = (int) Math.min(longest, elements - at);
      runs.add(new Run(from.address() + at * Float.BYTES, place, n, narrow, parts, apart));
    }
  }

  boolean isEmpty() {
    return runs.isEmpty();
  }

  /** {@return what makes all copies; none can be added after it} */
  Kernel kernel(CudaContext context, Family family) {
    long elements = runs.stream().mapToLong(run -> (long) run.elements() * run.parts()).sum();
    long written = runs.stream().mapToLong(run -> (long) run.elements() * run.width()).sum();
    int rounds = runs.stream().mapToInt(Run::rounds).max().orElse(0);
    return context.elements(
        context
            .work(family)
            .reads(elements * Float.BYTES + BYTES * runs.size())
            .writes(written)
            // Behind a warp's look at its run.
            .rounds(rounds),
        "runs",
        "copy_runs",
        32L * runs.size(),
        new CudaArguments().pointer(upload(context)).i32(runs.size()));
  }

  private MemorySegment upload(CudaContext context) {
    long bytes = BYTES * runs.size();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(bytes, Long.BYTES);
      for (int i = 0; i < runs.size(); i++) {
        Run run = runs.get(i);
        long at = i * BYTES;
        host.set(JAVA_LONG, at, run.from());
        host.set(JAVA_LONG, at + 8, run.to());
        host.set(JAVA_INT, at + 16, run.elements());
        host.set(JAVA_INT, at + 20, run.narrow() ? 1 : 0);
        host.set(JAVA_INT, at + 24, run.parts());
        host.set(JAVA_INT, at + 28, run.apart());
      }
      return context.upload(host);
    }
  }
}
