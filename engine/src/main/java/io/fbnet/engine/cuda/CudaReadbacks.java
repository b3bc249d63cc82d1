package io.fbnet.engine.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Readback;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaEvent;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Results on their way to page-locked memory behind the step that made them. The host waits for one
 * event, not for the stream, so the next step may already run.
 */
final class CudaReadbacks implements AutoCloseable {
  private final CudaBackend backend;
  private final Map<List<Value>, Deque<Slot>> free = new HashMap<>();
  private final List<Slot> all = new ArrayList<>();

  private boolean closed;

  private static final class Slot {
    MemorySegment pinned;
    CudaEvent arrived;
  }

  CudaReadbacks(CudaBackend backend) {
    this.backend = backend;
  }

  /** Begins to copy row-major f32 values. */
  Readback begin(List<Value> values, Function<Value, MemorySegment> memory) {
    Deque<Slot> known = free.computeIfAbsent(List.copyOf(values), key -> new ArrayDeque<>());
    Slot slot = known.isEmpty() ? slot(values) : known.pop();
    long at = 0;
    for (Value v : values) {
      long bytes = v.shape().elements() * Float.BYTES;
      backend.stream().copyToHost(slot.pinned.asSlice(at, bytes), memory.apply(v), bytes);
      at += bytes;
    }
    backend.stream().record(slot.arrived);
    boolean[] taken = {false};
    return () -> {
      backend.confinement().require();
      if (closed) {
        throw new IllegalStateException("the program of these results is closed");
      }
      if (taken[0]) {
        throw new IllegalStateException("these results were taken already");
      }
      taken[0] = true;
      backend.guard(() -> backend.ranks().await(slot.arrived));
      float[][] result = new float[values.size()][];
      long from = 0;
      for (int i = 0; i < result.length; i++) {
        long bytes = values.get(i).shape().elements() * Float.BYTES;
        result[i] = slot.pinned.asSlice(from, bytes).toArray(JAVA_FLOAT);
        from += bytes;
      }
      known.push(slot);
      return result;
    };
  }

  private Slot slot(List<Value> values) {
    long bytes = values.stream().mapToLong(v -> v.shape().elements() * Float.BYTES).sum();
    Slot slot = new Slot();
    all.add(slot);
    slot.pinned = backend.cudaDevice().allocatePinned(bytes);
    slot.arrived = CudaEvent.create(false);
    return slot;
  }

  @Override
  public void close() {
    closed = true;
    for (Slot slot : all) {
      backend.closing(
          () -> {
            if (slot.arrived != null) {
              slot.arrived.synchronise();
              slot.arrived.close();
            }
            if (slot.pinned != null) {
              backend.cudaDevice().freePinned(slot.pinned);
            }
          });
    }
    all.clear();
    free.clear();
  }
}
