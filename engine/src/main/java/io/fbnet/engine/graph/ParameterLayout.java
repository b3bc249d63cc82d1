package io.fbnet.engine.graph;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Where each tensor of a parameter set lies in the set's flat buffers, in elements. Tensors that
 * weight decay applies to come first, so that an optimiser needs one number to tell them apart.
 */
public final class ParameterLayout {
  /** Elements that a tensor's offset is a multiple of: one cache line of f32. */
  private static final long ALIGNMENT = 16;

  /**
   * One tensor.
   *
   * @param spec as declared
   * @param offset its first element
   */
  public record Entry(ParameterSpec spec, long offset) {}

  private final String set;
  private final Map<String, Entry> entries;
  private final long size;
  private final long decayed;

  private ParameterLayout(String set, Map<String, Entry> entries, long size, long decayed) {
    this.set = set;
    this.entries = entries;
    this.size = size;
    this.decayed = decayed;
  }

  /**
   * {@return the layout of one set among the given parameters, in the order of their declaration}
   *
   * @param set the parameter set
   * @param parameters of any sets
   */
  public static ParameterLayout of(String set, List<ParameterSpec> parameters) {
    Map<String, Entry> entries = new LinkedHashMap<>();
    long offset = 0;
    long decayed = 0;
    for (boolean decay : new boolean[] {true, false}) {
      for (ParameterSpec spec : parameters) {
        if (spec.set().equals(set) && spec.decayed() == decay) {
          entries.put(spec.name(), new Entry(spec, offset));
          offset += align(spec.shape().elements());
        }
      }
      decayed = decay ? offset : decayed;
    }
    return new ParameterLayout(set, entries, Math.max(ALIGNMENT, offset), decayed);
  }

  private static long align(long elements) {
    return (elements + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }

  /** {@return the parameter set} */
  public String set() {
    return set;
  }

  /** {@return elements of a flat buffer, gaps included} */
  public long size() {
    return size;
  }

  /** {@return how many of the first elements weight decay applies to} */
  public long decayed() {
    return decayed;
  }

  /** {@return every tensor, in the order of the buffer} */
  public List<Entry> entries() {
    return new ArrayList<>(entries.values());
  }

  /**
   * {@return the tensor of the given name}
   *
   * @param name unique in the set
   * @param shape that the tensor must have
   * @throws IllegalArgumentException where the set has none, or has one of another shape
   */
  public Entry find(String name, Shape shape) {
    Entry entry = entries.get(name);
    if (entry == null) {
      throw new IllegalArgumentException("parameter set " + set + " has no tensor " + name);
    }
    if (!entry.spec().shape().equals(shape)) {
      throw new IllegalArgumentException(
          "tensor " + name + " is " + entry.spec().shape() + " in set " + set + ", not " + shape);
    }
    return entry;
  }
}
