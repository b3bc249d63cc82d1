package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.backend.Launch.Family;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/**
 * Copies of weights in the form in which kernels read them: in bf16, or in another order. One
 * launch at the start of a step makes all of them; optimisers come last, so they hold until it
 * ends.
 */
final class PackedWeights {
  private final CudaContext context;
  private final CudaRuns runs = new CudaRuns();
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
    runs.add(from, to, elements, narrow);
  }

  /** {@return what makes all copies, or null where there are none; none can be added after it} */
  Kernel kernel() {
    return runs.isEmpty() ? null : runs.kernel(context, Family.MIX);
  }
}
