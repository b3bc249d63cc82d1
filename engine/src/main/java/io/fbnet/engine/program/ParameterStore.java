package io.fbnet.engine.program;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.fbnet.engine.backend.Backend;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.graph.ParameterLayout;
import io.fbnet.engine.graph.ParameterSpec;
import io.fbnet.engine.graph.ParameterSpec.Initial;
import io.fbnet.engine.graph.Storage;
import io.fbnet.engine.random.Philox;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * The flat buffers of parameter sets on one device: values, gradients, and whatever else an
 * optimiser keeps beside them. Programs share it, so a network cut from a supernet runs on the
 * supernet's weights.
 */
public final class ParameterStore implements AutoCloseable {
  private final Backend backend;
  private final Map<String, ParameterLayout> layouts = new LinkedHashMap<>();
  private final Map<String, MemorySegment> buffers = new LinkedHashMap<>();
  private boolean closed;

  /**
   * Holds no memory yet: each buffer is made, as zeros, when something first asks for it.
   *
   * @param backend the device
   * @param parameters of any number of sets
   */
  public ParameterStore(Backend backend, List<ParameterSpec> parameters) {
    this.backend = Objects.requireNonNull(backend, "a back end");
    backend.confinement().require();
    for (ParameterSpec spec : parameters) {
      layouts.computeIfAbsent(spec.set(), set -> ParameterLayout.of(set, parameters));
    }
  }

  /**
   * {@return the layout of a set's buffers}
   *
   * @param set the parameter set
   * @throws IllegalArgumentException where there is no such set
   */
  public ParameterLayout layout(String set) {
    ParameterLayout layout = layouts.get(set);
    if (layout == null) {
      throw new IllegalArgumentException("there is no parameter set " + set);
    }
    return layout;
  }

  /** {@return the sets, in the order of their declaration} */
  public List<String> sets() {
    return List.copyOf(layouts.keySet());
  }

  /** The device memory of a buffer, created as zeros when first asked for. */
  MemorySegment buffer(String set, String buffer) {
    ParameterLayout layout = layout(set);
    backend.confinement().require();
    if (closed) {
      throw new IllegalStateException("the parameters are closed");
    }
    try {
      return buffers.computeIfAbsent(
          set + " " + buffer,
          key -> {
            long bytes = layout.size() * backend.elementBytes();
            return buffer.equals(Storage.Flat.GRADIENTS)
                ? backend.allocateExchanged(bytes)
                : backend.allocate(bytes);
          });
    } catch (OutOfDeviceMemory e) {
      throw e.forParameters(plannedBytes());
    }
  }

  /**
   * Sets every value to its declared start. Normal numbers are keyed by (seed, set, name, index),
   * so a network's weights do not depend on what else is in the store.
   *
   * @param seed of the normal numbers
   * @throws OutOfDeviceMemory where the values do not fit the device
   */
  public void initialise(long seed) {
    for (ParameterLayout layout : layouts.values()) {
      try (Arena arena = Arena.ofShared()) {
        MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
        layout.entries().parallelStream().forEach(entry -> fill(host, entry, seed));
        load(layout.set(), Storage.Flat.VALUES, host);
      }
    }
  }

  private static void fill(MemorySegment host, ParameterLayout.Entry entry, long seed) {
    long n = entry.spec().shape().elements();
    switch (entry.spec().initial()) {
      case Initial.Constant constant -> {
        for (long i = 0; i < n; i++) {
          host.setAtIndex(JAVA_FLOAT, entry.offset() + i, constant.value());
        }
      }
      case Initial.Normal normal -> {
        int stream = (entry.spec().set() + "/" + entry.spec().name()).hashCode();
        int[] words = new int[4];
        for (long i = 0; i < n; i++) {
          Philox.block(seed, stream, 0, i, words);
          // Box-Muller, in double: StrictMath gives the same bits on every machine.
          double radius = StrictMath.sqrt(-2 * StrictMath.log(Philox.uniform(words[0])));
          double angle = 2 * StrictMath.PI * Philox.uniform(words[1]);
          double value = normal.deviation() * radius * StrictMath.cos(angle);
          host.setAtIndex(JAVA_FLOAT, entry.offset() + i, (float) value);
        }
      }
    }
  }

  /**
   * Copies a whole buffer to the device.
   *
   * @param set the parameter set
   * @param buffer as in {@link Storage.Flat}
   * @param host f32 in the order of the layout, gaps included
   */
  public void load(String set, String buffer, MemorySegment host) {
    backend.copyIn(host, buffer(set, buffer), layout(set).size());
  }

  /**
   * Copies a whole buffer from the device.
   *
   * @param set the parameter set
   * @param buffer as in {@link Storage.Flat}
   * @param host room for f32 in the order of the layout, gaps included
   */
  public void save(String set, String buffer, MemorySegment host) {
    backend.copyOut(buffer(set, buffer), host, layout(set).size());
  }

  /**
   * {@return whether anything has asked for a buffer so far}
   *
   * @param set the parameter set
   * @param buffer as in {@link Storage.Flat}
   */
  public boolean has(String set, String buffer) {
    return buffers.containsKey(set + " " + buffer);
  }

  /**
   * {@return all elements of a buffer, in the order of the layout, gaps included}
   *
   * @param set the parameter set
   * @param buffer as in {@link Storage.Flat}
   */
  public float[] readAll(String set, String buffer) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(layout(set).size() * Float.BYTES, 64);
      save(set, buffer, host);
      return host.toArray(JAVA_FLOAT);
    }
  }

  /**
   * {@return one tensor's elements, row-major}
   *
   * @param set the parameter set
   * @param buffer as in {@link Storage.Flat}
   * @param name of the tensor
   * @throws IllegalArgumentException where there is no such set or tensor
   */
  public float[] read(String set, String buffer, String name) {
    ParameterLayout layout = layout(set);
    for (ParameterLayout.Entry entry : layout.entries()) {
      if (entry.spec().name().equals(name)) {
        try (Arena arena = Arena.ofConfined()) {
          MemorySegment host = arena.allocate(layout.size() * Float.BYTES, 64);
          save(set, buffer, host);
          long n = entry.spec().shape().elements();
          return host.asSlice(entry.offset() * Float.BYTES, n * Float.BYTES).toArray(JAVA_FLOAT);
        }
      }
    }
    throw new IllegalArgumentException("parameter set " + set + " has no tensor " + name);
  }

  /** Bytes of values and gradients of every set, whatever the batch. */
  private long plannedBytes() {
    return 2L
        * backend.elementBytes()
        * layouts.values().stream().mapToLong(ParameterLayout::size).sum();
  }

  /** {@return bytes on the device} */
  public long bytes() {
    return buffers.values().stream().mapToLong(MemorySegment::byteSize).sum();
  }

  /** Refuses another back end, whose memory is not where these parameters are. */
  @SuppressWarnings("ReferenceEquality") // An open device, not what it is called.
  void requireOn(Backend other) {
    if (backend != other) {
      throw new IllegalArgumentException(
          "the parameters lie on another back end, " + backend.name() + ": " + backend.device());
    }
    if (closed) {
      throw new IllegalStateException("the parameters are closed");
    }
  }

  boolean isClosed() {
    return closed;
  }

  @Override
  public void close() {
    backend.confinement().requireThread();
    closed = true;
    buffers.values().forEach(backend::release);
    buffers.clear();
  }
}
