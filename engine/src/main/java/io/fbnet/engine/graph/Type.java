package io.fbnet.engine.graph;

/** Element types of values. The bytes are those of host memory in row-major order. */
public enum Type {
  /** Unsigned bytes: pixels as they are decoded. */
  U8(1),
  /** IEEE 754 single precision: normalised images, parameters, losses, scalars. */
  F32(4),
  /** Signed 32-bit integers: labels, windows. */
  I32(4),
  /** Signed 64-bit integers: seeds and step numbers of the control block. */
  I64(8);

  private final int bytes;

  Type(int bytes) {
    this.bytes = bytes;
  }

  /** {@return bytes of one element on the host} */
  public int bytes() {
    return bytes;
  }
}
