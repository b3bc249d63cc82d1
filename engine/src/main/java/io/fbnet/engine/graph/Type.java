package io.fbnet.engine.graph;

/** Element types of values. The bytes are those of host memory in row-major order. */
public enum Type {
  F32(4),
  I32(4),
  I64(8);

  private final int bytes;

  Type(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one element on the host. */
  public int bytes() {
    return bytes;
  }
}
