package io.fbnet.engine.reference;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.fbnet.engine.graph.Shape;
import io.fbnet.engine.graph.Type;
import io.fbnet.engine.graph.Value;
import java.lang.foreign.MemorySegment;

/**
 * A value's memory as the reference kernels see it: doubles, bytes, labels, or a control scalar.
 */
final class Tensor {
  final Shape shape;
  final double[] data;
  final int offset;
  private final MemorySegment raw;

  Tensor(Value value, MemorySegment memory) {
    shape = value.shape();
    raw = memory;
    Object base = memory.heapBase().orElse(null);
    boolean doubles = base instanceof double[] && value.type() == Type.F32;
    data = doubles ? (double[]) base : null;
    offset = doubles ? Math.toIntExact(memory.address() / Double.BYTES) : 0;
  }

  int size() {
    return Math.toIntExact(shape.elements());
  }

  /** Axis {@code i}, or 1 where there are fewer. */
  int dim(int i) {
    return i < shape.rank() ? shape.get(i) : 1;
  }

  double get(int i) {
    return data == null ? raw.getAtIndex(JAVA_FLOAT, i) : data[offset + i];
  }

  void set(int i, double v) {
    data[offset + i] = v;
  }

  /** An element of 32 bits: a label, or a part of a window. */
  int label(int i) {
    return raw.getAtIndex(JAVA_INT, i);
  }

  int pixel(int i) {
    return Byte.toUnsignedInt(raw.get(JAVA_BYTE, i));
  }

  long word64() {
    return raw.get(JAVA_LONG, 0);
  }
}
