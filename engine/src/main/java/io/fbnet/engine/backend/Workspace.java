package io.fbnet.engine.backend;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Device memory that the kernels of one graph hold beside its values. */
public class Workspace {
  private static final long UNIT = 1 << 16;

  private final Backend device;
  private final Map<String, MemorySegment> slots = new HashMap<>();
  private final List<MemorySegment> owned = new ArrayList<>();

  /**
   * Holds nothing yet.
   *
   * @param device whose memory it will hold
   */
  protected Workspace(Backend device) {
    this.device = device;
  }

  /**
   * Makes a slot at least this large before any kernel takes it, so that it need not grow.
   *
   * @param slot its name
   * @param bytes its least size; 0 reserves nothing
   * @throws OutOfDeviceMemory where there is not enough
   */
  public final void reserve(String slot, long bytes) {
    if (bytes > 0) {
      slots.put(slot, own((bytes + UNIT - 1) / UNIT * UNIT));
    }
  }

  /**
   * {@return memory that kernels share because they run one after the other} A slot's memory grows
   * by doubling, so what smaller kernels hold of it adds up to less than the largest.
   *
   * @param slot its name
   * @param bytes the least size
   * @throws OutOfDeviceMemory where there is not enough
   */
  public final MemorySegment scratch(String slot, long bytes) {
    MemorySegment known = slots.get(slot);
    if (known == null || known.byteSize() < bytes) {
      known = own(Math.max(UNIT, Long.highestOneBit(Math.max(1, bytes - 1)) << 1));
      slots.put(slot, known);
    }
    return known;
  }

  /**
   * {@return zeroed memory for one kernel, released with the graph}
   *
   * @param bytes its size
   * @throws OutOfDeviceMemory where there is not enough
   */
  public final MemorySegment own(long bytes) {
    MemorySegment segment = device.allocate(bytes);
    owned.add(segment);
    return segment;
  }

  /** {@return bytes held} */
  public final long ownedBytes() {
    return owned.stream().mapToLong(MemorySegment::byteSize).sum();
  }

  /** Gives all of it back. */
  public void close() {
    owned.forEach(device::release);
    owned.clear();
  }
}
