package io.fbnet.nas.run;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/**
 * A named block of numbers in row-major order and the machine's (little-endian) byte order.
 *
 * @param name unique within its file
 * @param type of each number
 * @param shape lengths of the dimensions; empty for a single number
 * @param data exactly the numbers' bytes; not copied
 */
public record Tensor(String name, Type type, List<Long> shape, MemorySegment data) {
  /** The number types that run files hold. */
  public enum Type {
    F32(4),
    F64(8),
    I32(4),
    I64(8),
    U8(1);

    private final int bytes;

    Type(int bytes) {
      this.bytes = bytes;
    }

    /** Bytes of one number. */
    public int bytes() {
      return bytes;
    }
  }

  /** Checks name, shape and size. */
  public Tensor {
    shape = List.copyOf(shape);
    if (name.isEmpty() || name.equals(SafetensorsHeader.METADATA)) {
      throw new IllegalArgumentException("a tensor cannot be called '" + name + "'");
    }
    long bytes = byteCount(type, shape);
    if (data.byteSize() != bytes) {
      throw new IllegalArgumentException(
          "the tensor %s of shape %s needs %d bytes, but has %d"
              .formatted(name, shape, bytes, data.byteSize()));
    }
  }

  /** A tensor with the dimensions as arguments. */
  public static Tensor of(String name, Type type, MemorySegment data, long... shape) {
    return new Tensor(name, type, Arrays.stream(shape).boxed().toList(), data);
  }

  /** Bytes of a tensor; throws ArithmeticException or IllegalArgumentException if impossible. */
  static long byteCount(Type type, List<Long> shape) {
    long bytes = type.bytes();
    boolean empty = false;
    for (long length : shape) {
      if (length < 0) {
        throw new IllegalArgumentException("a dimension is negative: " + length);
      }
      empty |= length == 0;
      bytes = length == 0 ? bytes : Math.multiplyExact(bytes, length);
    }
    return empty ? 0 : bytes;
  }
}
