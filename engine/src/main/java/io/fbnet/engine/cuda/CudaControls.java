package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.ControlBlock;
import io.fbnet.foreign.CudaEvent;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * A control block in device memory. What the caller wrote is copied from a ring of page-locked
 * slots, so that a step still waiting on the stream keeps the values it was given.
 */
final class CudaControls implements ControlBlock {
  private static final int SLOTS = 4;

  private final CudaBackend backend;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment host;
  private MemorySegment device;
  private MemorySegment pinned;
  private final List<CudaEvent> copied = new ArrayList<>();
  private int next;

  CudaControls(CudaBackend backend, int scalars) {
    this.backend = backend;
    long bytes = Math.max(1, scalars) * (long) SCALAR_BYTES;
    host = arena.allocate(bytes, 64);
    try {
      device = backend.allocate(bytes);
      pinned = backend.cudaDevice().allocatePinned(SLOTS * bytes);
      for (int i = 0; i < SLOTS; i++) {
        copied.add(CudaEvent.create(false));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  @Override
  public MemorySegment host() {
    return host;
  }

  @Override
  public MemorySegment device() {
    return device;
  }

  @Override
  public void push() {
    backend.confinement().require();
    if (pinned == null) {
      throw new IllegalStateException("the control block is closed");
    }
    backend.guard(
        () -> {
          long bytes = host.byteSize();
          CudaEvent event = copied.get(next);
          backend.ranks().await(event);
          MemorySegment slot = pinned.asSlice(next * bytes, bytes);
          slot.copyFrom(host);
          backend.stream().copyToDevice(device, slot, bytes);
          backend.stream().record(event);
          next = (next + 1) % SLOTS;
        });
  }

  @Override
  public void close() {
    if (backend.confinement().isClosed()) {
      // What it holds on the device was let go with the back end.
      pinned = null;
      device = null;
      copied.clear();
    }
    if (pinned != null) {
      MemorySegment memory = pinned;
      backend.closing(() -> backend.ranks().settle(backend.stream()));
      backend.closing(() -> backend.cudaDevice().freePinned(memory));
      pinned = null;
    }
    copied.forEach(backend::closing);
    copied.clear();
    if (device != null) {
      backend.release(device);
      device = null;
    }
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
