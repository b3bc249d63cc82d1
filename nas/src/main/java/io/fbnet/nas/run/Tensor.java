package io.fbnet.nas.run;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

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
    /** Floating point, 32 bits. */
    F32(4),
    /** Floating point, 64 bits. */
    F64(8),
    /** Signed integers, 32 bits. */
    I32(4),
    /** Signed integers, 64 bits. */
    I64(8),
    /** Unsigned integers, 8 bits. */
    U8(1);

    private final int bytes;

    Type(int bytes) {
      this.bytes = bytes;
    }

    /** {@return bytes of one number} */
    public int bytes() {
      return bytes;
    }
  }

  /**
   * Checks name, shape and size.
   *
   * @throws IllegalArgumentException if the name is empty or the format's own, a dimension negative
   *     or the data of another size
   * @throws ArithmeticException if the shape has more bytes than a long can count
   */
  public Tensor {
    shape = List.copyOf(shape);
    if (name.isEmpty() || name.equals(SafetensorsHeader.METADATA)) {
      throw new IllegalArgumentException("a tensor cannot be called '" + name + "'");
    }
    long bytes = byteCount(type, shape);
    if (data.byteSize() != bytes) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "the tensor %s of shape %s needs %d bytes, but has %d",
              name,
              shape,
              bytes,
              data.byteSize()));
    }
  }

  /**
   * {@return a tensor with the dimensions as arguments}
   *
   * @param name unique within its file
   * @param type of each number
   * @param data exactly the numbers' bytes; not copied
   * @param shape lengths of the dimensions; none for a single number
   * @throws IllegalArgumentException if they do not fit each other
   */
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
