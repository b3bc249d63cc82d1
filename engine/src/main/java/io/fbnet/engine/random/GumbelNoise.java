package io.fbnet.engine.random;

/**
 * Gumbel(0, 1) noise from 32-bit words, in f32 operations that round alike everywhere: no library
 * logarithm (they differ in the last bit) and no fused multiply-add.
 */
public final class GumbelNoise {
  // log 2 in two parts; the first has so few bits that its product with an exponent is exact.
  private static final float LN2_HIGH = 0x1.63p-1f;
  private static final float LN2_LOW = -0x1.bd01060000000p-13f;
  private static final float SQRT_HALF = 0x1.6a09e60000000p-1f;

  private GumbelNoise() {}

  /** g = -log(-log(u)) for the uniform number of {@code word}. */
  public static float of(int word) {
    return -log(-log(Philox.uniform(word)));
  }

  /**
   * The natural logarithm of a positive, normal x: x = m 2^e with m in [sqrt(1/2), sqrt(2)), log m
   * = 2 atanh(s), s = (m - 1) / (m + 1), by the series of atanh to s^11.
   */
  static float log(float x) {
    int bits = Float.floatToRawIntBits(x);
    int exponent = (bits >>> 23) - 126;
    float m = Float.intBitsToFloat((bits & 0x007FFFFF) | 0x3F000000);
    if (m < SQRT_HALF) {
      m = m + m;
      exponent--;
    }
    float s = (m - 1f) / (m + 1f);
    float z = s * s;
    float p = 1f / 11f;
    p = p * z + 1f / 9f;
    p = p * z + 1f / 7f;
    p = p * z + 1f / 5f;
    p = p * z + 1f / 3f;
    float logM = (s + s) + (s + s) * (p * z);
    float e = exponent;
    return e * LN2_HIGH + (e * LN2_LOW + logM);
  }
}
