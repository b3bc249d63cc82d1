package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A compiled oneDNN primitive with the memory that it works on, see {@link #bind}. Those made by
 * {@link #another} share the compiled code.
 */
@SuppressWarnings("restricted")
public final class DnnlPrimitive implements AutoCloseable {
  /** Arguments of a primitive: the {@code DNNL_ARG_} number and the query that gives its format. */
  public enum Argument {
    SRC(1, 129),
    DST(17, 133),
    WEIGHTS(33, 131),
    DIFF_SRC(129, 130),
    DIFF_DST(145, 134),
    DIFF_WEIGHTS(161, 132),
    SCRATCHPAD(80, 136);

    final int code;
    final int query;

    Argument(int code, int query) {
      this.code = code;
      this.query = query;
    }
  }

  static final int QUERY_IMPLEMENTATION = 8;
  private static final int ARGUMENT_BYTES = 16;

  private final Dnnl dnnl;
  private final MemorySegment descriptor;
  private final MemorySegment primitive;
  private final boolean owner;
  private final Arena arena = Arena.ofShared();
  private final List<MemorySegment> memories = new ArrayList<>();
  private final Map<Argument, Bound> bound = new EnumMap<>(Argument.class);
  private final MemorySegment arguments = arena.allocate(ARGUMENT_BYTES * 8L, 16);
  private boolean scratchMissing;
  private boolean closed;

  DnnlPrimitive(Dnnl dnnl, MemorySegment descriptor) {
    this.dnnl = dnnl;
    this.descriptor = descriptor;
    owner = true;
    try (Arena call = Arena.ofConfined()) {
      MemorySegment out = call.allocate(ADDRESS);
      int status = (int) DnnlRaw.PRIMITIVE_CREATE.invokeExact(out, descriptor);
      Dnnl.check(status, "dnnl_primitive_create");
      primitive = out.get(ADDRESS, 0);
      scratchMissing = scratchBytes() > 0;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  private DnnlPrimitive(DnnlPrimitive other) {
    dnnl = other.dnnl;
    descriptor = other.descriptor;
    primitive = other.primitive;
    owner = false;
    scratchMissing = scratchBytes() > 0;
  }

  /**
   * {@return the same primitive with memory of its own, to run beside this one} It must not run
   * after this one is closed.
   */
  public DnnlPrimitive another() {
    return new DnnlPrimitive(this);
  }

  /** The implementation's name, such as {@code brgconv:avx512_core}; {@code ref} is slow. */
  public String implementation() {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment out = call.allocate(ADDRESS);
      int status = (int) DnnlRaw.PD_QUERY.invokeExact(descriptor, QUERY_IMPLEMENTATION, 0, out);
      Dnnl.check(status, "dnnl_primitive_desc_query");
      return out.get(ADDRESS, 0).reinterpret(256).getString(0);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** The format that the primitive wants for an argument. The caller closes it. */
  public DnnlDescriptor format(Argument argument) {
    try {
      MemorySegment borrowed =
          (MemorySegment) DnnlRaw.PD_QUERY_MD.invokeExact(descriptor, argument.query, 0);
      if (borrowed.address() == 0) {
        throw new IllegalArgumentException("the primitive has no argument " + argument);
      }
      return DnnlDescriptor.copyOf(borrowed);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Sets the memory of an argument, from its first byte on. */
  public DnnlPrimitive bind(Argument argument, MemorySegment data) {
    return bind(argument, data, 0);
  }

  /**
   * Sets the memory of an argument, in place of what it was bound to before. The memory must hold
   * {@link #format}'s bytes and outlive the primitive's runs.
   *
   * @param offset of its first byte in {@code data}
   */
  public DnnlPrimitive bind(Argument argument, MemorySegment data, long offset) {
    Bound now = bound.get(argument);
    long address = data.address() + offset;
    long room = offset < 0 ? 0 : data.byteSize() - offset;
    try {
      if (now == null) {
        now = create(argument, room);
      }
      requireRoom(argument, now.bytes, room);
      if (now.address == address) {
        return this;
      }
      int status =
          (int)
              DnnlRaw.MEMORY_SET_DATA_HANDLE.invokeExact(
                  now.memory, MemorySegment.ofAddress(address));
      Dnnl.check(status, "dnnl_memory_set_data_handle");
      now.address = address;
      scratchMissing &= argument != Argument.SCRATCHPAD;
      return this;
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** The memory object of an argument, and where it points. */
  private static final class Bound {
    final MemorySegment memory;
    final long bytes;
    long address;

    Bound(MemorySegment memory, long bytes) {
      this.memory = memory;
      this.bytes = bytes;
    }
  }

  private static void requireRoom(Argument argument, long bytes, long room) {
    if (room < bytes) {
      throw new IllegalArgumentException(
          String.format(Locale.ROOT, "%s needs %d bytes, has %d", argument, bytes, room));
    }
  }

  private Bound create(Argument argument, long room) throws Throwable {
    try (Arena call = Arena.ofConfined();
        DnnlDescriptor format = format(argument)) {
      requireRoom(argument, format.bytes(), room);
      MemorySegment out = call.allocate(ADDRESS);
      int status =
          (int)
              DnnlRaw.MEMORY_CREATE.invokeExact(
                  out, format.handle(), dnnl.engine, MemorySegment.NULL);
      Dnnl.check(status, "dnnl_memory_create", argument.toString());
      MemorySegment memory = out.get(ADDRESS, 0);
      long at = (long) ARGUMENT_BYTES * memories.size();
      arguments.set(JAVA_INT, at, argument.code);
      arguments.set(ADDRESS, at + 8, memory);
      memories.add(memory);
      Bound made = new Bound(memory, format.bytes());
      bound.put(argument, made);
      return made;
    }
  }

  /** Bytes of scratch memory it needs while it runs; bind as many as SCRATCHPAD. */
  public long scratchBytes() {
    try {
      MemorySegment borrowed =
          (MemorySegment) DnnlRaw.PD_QUERY_MD.invokeExact(descriptor, Argument.SCRATCHPAD.query, 0);
      return borrowed.address() == 0 ? 0 : (long) DnnlRaw.MD_SIZE.invokeExact(borrowed);
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  /** Runs on lane 0. */
  public void execute() {
    execute(0);
  }

  /**
   * Runs on the bound memory; returns when the result is there.
   *
   * @param lane no other primitive may run on it at the same time
   */
  public void execute(int lane) {
    if (scratchMissing) {
      throw new IllegalStateException(
          implementation() + " needs " + scratchBytes() + " bytes bound as SCRATCHPAD");
    }
    try {
      int status =
          (int)
              DnnlRaw.PRIMITIVE_EXECUTE.invokeExact(
                  primitive, dnnl.stream(lane), memories.size(), arguments);
      if (status != 0) {
        Dnnl.check(status, "dnnl_primitive_execute", implementation());
      }
    } catch (Throwable t) {
      throw Dnnl.rethrow(t);
    }
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      for (MemorySegment memory : memories) {
        Dnnl.destroy(DnnlRaw.MEMORY_DESTROY, memory, "dnnl_memory_destroy");
      }
      if (owner) {
        Dnnl.destroy(DnnlRaw.PRIMITIVE_DESTROY, primitive, "dnnl_primitive_destroy");
        Dnnl.destroy(DnnlRaw.PD_DESTROY, descriptor, "dnnl_primitive_desc_destroy");
      }
      arena.close();
    }
  }
}
