package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.foreign.CudaArguments;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/**
 * Copies of weights in the form in which kernels read them: in bf16, or in another order. One
 * launch at the start of a step makes all of them; optimisers come last, so they hold until it
 * ends.
 */
final class PackedWeights {
  /** Elements that a warp copies: enough to be worth looking at the table. */
  private static final int LONGEST = 512;

  private final CudaContext context;
  private final CudaRuns runs = new CudaRuns(LONGEST);
  private final Map<MemorySegment, MemorySegment> narrow = new HashMap<>();

  PackedWeights(CudaContext context) {
    this.context = context;
  }

  /** {@return the bf16 copy of weights} */
  MemorySegment narrow(MemorySegment weights, long elements) {
    return narrow.computeIfAbsent(
        weights,
        from -> {
          MemorySegment copy = context.own(elements * Short.BYTES);
          add(from, copy, elements, true);
          return copy;
        });
  }

  /** Adds a copy of some weights, to bf16 where {@code narrow}. */
  void add(MemorySegment from, MemorySegment to, long elements, boolean narrow) {
    runs.copy(from, to, elements, narrow);
  }

  /** {@return what makes all copies, or null where there are none; none can be added after it} */
  Kernel kernel() {
    if (runs.isEmpty()) {
      return null;
    }
    long threads = 32L * runs.count();
    long tableBytes = CudaRuns.BYTES * runs.count();
    return context.elements(
        context
            .work(Family.MIX)
            .reads(runs.elements() * Float.BYTES + tableBytes)
            .writes(runs.writtenBytes())
            .rounds(LONGEST / 32),
        "runs",
        "pack_runs",
        threads,
        new CudaArguments().pointer(runs.upload(context)).i32(runs.count()));
  }
}
