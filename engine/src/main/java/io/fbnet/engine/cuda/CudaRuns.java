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

/** Many short copies of f32 elements, which one launch of {@code runs.cu} carries out. */
final class CudaRuns {
  /** Of an entry of the table. */
  private static final long BYTES = 24;

  /** Elements that a warp copies: enough to be worth looking at the table. */
  private static final int LONGEST = 512;

  private record Run(long from, long to, int elements, boolean narrow) {
    int width() {
      return narrow ? Short.BYTES : Float.BYTES;
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
    for (long at = 0; at < elements; at += LONGEST) {
      Run first = new Run(from.address() + at * Float.BYTES, to.address(), 0, narrow);
      int n = (int) Math.min(LONGEST, elements - at);
      runs.add(new Run(first.from(), first.to() + at * first.width(), n, narrow));
    }
  }

  boolean isEmpty() {
    return runs.isEmpty();
  }

  /** {@return what makes all copies; none can be added after it} */
  Kernel kernel(CudaContext context, Family family) {
    long elements = runs.stream().mapToLong(Run::elements).sum();
    long written = runs.stream().mapToLong(run -> (long) run.elements() * run.width()).sum();
    int longest = runs.stream().mapToInt(Run::elements).max().orElse(0);
    return context.elements(
        context
            .work(family)
            .reads(elements * Float.BYTES + BYTES * runs.size())
            .writes(written)
            // A warp looks at its run, then loads four rows of it at once.
            .rounds((longest + 127) / 128),
        "runs",
        "copy_runs",
        32L * runs.size(),
        new CudaArguments().pointer(upload(context)).i32(runs.size()));
  }

  private MemorySegment upload(CudaContext context) {
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
