package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.Kernel;
import io.fbnet.engine.graph.Value;
import io.fbnet.foreign.CudaEvent;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * One input's way to the device, through two slots: the copy of the next batch runs on a stream of
 * its own while the step before still computes, and a small kernel on the step's stream then puts
 * it in its place. So one captured graph serves all batches, and nothing is overwritten early.
 */
final class CudaUploads implements AutoCloseable {
  private static final int SLOTS = 2;

  private static final class Slot {
    MemorySegment pinned;
    MemorySegment staged;
    CudaEvent copied;
    CudaEvent used;
    Kernel place;
  }

  private final CudaBackend backend;
  private final MemorySegment target;
  private final long bytes;
  private final List<Slot> slots = new ArrayList<>();
  private int next;

  CudaUploads(CudaContext context, Value value, MemorySegment target) {
    this.target = target;
    backend = context.backend;
    bytes = value.shape().elements() * value.type().bytes();
    try {
      for (int i = 0; i < SLOTS; i++) {
        Slot slot = new Slot();
        slots.add(slot);
        slot.staged = backend.allocate(bytes);
        slot.copied = CudaEvent.create(false);
        slot.used = CudaEvent.create(false);
        // New memory is zeroed on the step's stream: the first copy must come after that.
        backend.stream().record(slot.used);
        slot.place =
            context.image(value)
                ? context.reorder("images_from_rows", value, slot.staged, target)
                : null;
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Takes a copy of host memory; what was enqueued before still sees the input's old content. */
  void write(MemorySegment host) {
    Slot slot = slots.get(next);
    if (slot.pinned == null) {
      slot.pinned = backend.allocatePinned(bytes);
    }
    backend.ranks().await(slot.copied);
    MemorySegment.copy(host, 0, slot.pinned, 0, bytes);
    lend(slot.pinned);
  }

  /** The same from memory that stays as it is until the copy is done. */
  void lend(MemorySegment host) {
    Slot slot = slots.get(next);
    next = (next + 1) % SLOTS;
    backend.copies().waitFor(slot.used);
    backend.copies().copyToDevice(slot.staged, host, bytes);
    backend.copies().record(slot.copied);
    backend.stream().waitFor(slot.copied);
    if (slot.place == null) {
      backend.stream().copyOnDevice(target, slot.staged, bytes);
    } else {
      slot.place.launch();
    }
    backend.stream().record(slot.used);
  }

  /** Bytes on the device. */
  long deviceBytes() {
    return SLOTS * bytes;
  }

  @Override
  public void close() {
    for (Slot slot : slots) {
      backend.closing(
          () -> {
            if (slot.copied != null) {
              slot.copied.synchronise();
              slot.copied.close();
            }
            if (slot.used != null) {
              slot.used.close();
            }
            if (slot.pinned != null) {
              backend.cudaDevice().freePinned(slot.pinned);
            }
          });
      if (slot.staged != null) {
        backend.release(slot.staged);
      }
    }
    slots.clear();
  }
}
