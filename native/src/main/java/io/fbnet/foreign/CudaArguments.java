package io.fbnet.foreign;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** The arguments of a kernel, in the order of its parameters. */
public final class CudaArguments {
  private record Argument(MemoryLayout layout, Consumer<MemorySegment> write) {}

  private final List<Argument> arguments = new ArrayList<>();

  /** A pointer to device memory; null is a null pointer. */
  public CudaArguments pointer(MemorySegment memory) {
    long address = memory == null ? 0 : memory.address();
    return add(JAVA_LONG, s -> s.set(JAVA_LONG, 0, address));
  }

  /**
   * A struct of {@code capacity} pointers, passed by value; what the list lacks is null pointers.
   *
   * @throws IllegalArgumentException where there are more pointers than the struct has room for
   */
  public CudaArguments pointers(int capacity, List<MemorySegment> memory) {
    if (memory.size() > capacity) {
      throw new IllegalArgumentException(memory.size() + " pointers for a struct of " + capacity);
    }
    long[] addresses = new long[capacity];
    for (int i = 0; i < memory.size(); i++) {
      addresses[i] = memory.get(i) == null ? 0 : memory.get(i).address();
    }
    return add(
        MemoryLayout.sequenceLayout(capacity, JAVA_LONG),
        s -> MemorySegment.copy(addresses, 0, s, JAVA_LONG, 0, capacity));
  }

  /** An int. */
  public CudaArguments i32(int value) {
    return add(JAVA_INT, s -> s.set(JAVA_INT, 0, value));
  }

  /** A long long. */
  public CudaArguments i64(long value) {
    return add(JAVA_LONG, s -> s.set(JAVA_LONG, 0, value));
  }

  /** A float. */
  public CudaArguments f32(float value) {
    return add(JAVA_FLOAT, s -> s.set(JAVA_FLOAT, 0, value));
  }

  private CudaArguments add(MemoryLayout layout, Consumer<MemorySegment> write) {
    arguments.add(new Argument(layout, write));
    return this;
  }

  int count() {
    return arguments.size();
  }

  long bytes(int i) {
    return arguments.get(i).layout().byteSize();
  }

  long alignment(int i) {
    return arguments.get(i).layout().byteAlignment();
  }

  /** Writes the values and an array of pointers to them, as a launch wants it. */
  MemorySegment pack(Arena arena) {
    MemorySegment pointers = CudaFunction.pointers(arena, arguments.size());
    for (int i = 0; i < arguments.size(); i++) {
      MemorySegment value = arena.allocate(arguments.get(i).layout());
      arguments.get(i).write().accept(value);
      pointers.setAtIndex(ADDRESS, i, value);
    }
    return pointers;
  }
}
