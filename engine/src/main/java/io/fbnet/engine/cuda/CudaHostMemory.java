package io.fbnet.engine.cuda;

import io.fbnet.engine.backend.HostMemory;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Page-locked host memory: the device copies from it by itself. */
final class CudaHostMemory implements HostMemory {
  private final CudaBackend backend;
  private final List<MemorySegment> given = new ArrayList<>();

  CudaHostMemory(CudaBackend backend) {
    this.backend = backend;
  }

  /** It begins at a page, so it is aligned to whatever is asked for. */
  @Override
  public MemorySegment allocate(long bytes, long alignment) {
    if (backend.confinement().isClosed()) {
      throw new IllegalStateException("the back end cuda is closed");
    }
    if (bytes < 0) {
      throw new IllegalArgumentException("no memory of " + bytes + " bytes");
    }
    MemorySegment memory = backend.allocatePinned(bytes);
    given.add(memory);
    return memory;
  }

  @Override
  public void close() {
    if (backend.confinement().isClosed()) {
      given.clear();
      return;
    }
    // A step that was launched may still wait for its copy.
    backend.closing(() -> backend.ranks().settle(backend.copies()));
    given.forEach(memory -> backend.closing(() -> backend.cudaDevice().freePinned(memory)));
    given.clear();
  }
}
