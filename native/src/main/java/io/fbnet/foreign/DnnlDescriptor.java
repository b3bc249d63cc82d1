package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** An owned oneDNN memory descriptor: dimensions, element type and format. */
public final class DnnlDescriptor implements AutoCloseable {
  private final MemorySegment handle;
  private boolean closed;

  DnnlDescriptor(MemorySegment handle) {
    this.handle = handle;
  }

  static DnnlDescriptor copyOf(MemorySegment borrowed) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      Dnnl.check((int) DnnlRaw.MD_CLONE.invokeExact(out, borrowed), "dnnl_memory_desc_clone");
      return new DnnlDescriptor(out.get(ADDRESS, 0));
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  MemorySegment handle() {
    if (closed) {
      throw new IllegalStateException("the descriptor is closed");
    }
    return handle;
  }

  /** Bytes that memory of this format takes, padding included. */
  public long bytes() {
    try {
      return (long) DnnlRaw.MD_SIZE.invokeExact(handle());
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Whether both describe the same bytes, so that no reorder is needed between them. */
  public boolean sameAs(DnnlDescriptor other) {
    try {
      return (int) DnnlRaw.MD_EQUAL.invokeExact(handle(), other.handle()) != 0;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      Dnnl.destroy(DnnlRaw.MD_DESTROY, handle, "dnnl_memory_desc_destroy");
    }
  }
}
