package io.fbnet.engine.cpu;

/**
 * The upper half of an f32: its sign, its exponent and seven bits of its mantissa (<a
 * href="https://en.wikipedia.org/wiki/Bfloat16_floating-point_format">bfloat16</a>).
 */
final class Bf16 {
  /** Bits of an f32 below it. */
  static final int SHIFT = 16;

  /** Just less than half of the last bit kept, in bits of an f32. */
  static final int HALF = 0x7fff;

  /** The NaN that every NaN becomes: one whose set bits all lie below would turn into infinity. */
  static final int NAN = 0x7fc0;

  private Bf16() {}

  static float widen(short bits) {
    return Float.intBitsToFloat(bits << SHIFT);
  }

  /** The nearest, the even one of two. */
  static short round(float v) {
    int bits = Float.floatToRawIntBits(v);
    return (short) (Float.isNaN(v) ? NAN : bits + HALF + (bits >>> SHIFT & 1) >>> SHIFT);
  }
}
