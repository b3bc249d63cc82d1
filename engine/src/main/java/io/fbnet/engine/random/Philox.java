package io.fbnet.engine.random;

/**
 * Philox 4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011):
 * a pure function from a key and a counter to four 32-bit words. The key is the seed and a stream;
 * the counter is a step and an index.
 */
public final class Philox {
  private static final int MULTIPLIER_0 = 0xD2511F53;
  private static final int MULTIPLIER_1 = 0xCD9E8D57;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final int ROUNDS = 10;
  private static final long LOW = 0xFFFFFFFFL;

  private Philox() {}

  /**
   * Writes the four words of (seed, stream, step, block) to {@code out}. The stream is mixed into
   * the high half of the key.
   */
  public static void block(long seed, int stream, long step, long block, int[] out) {
    words(
        (int) block,
        (int) (block >>> 32),
        (int) step,
        (int) (step >>> 32),
        (int) seed,
        (int) (seed >>> 32) ^ (stream * WEYL_0),
        out);
  }

  /** The bare function: counter c0..c3, key k0, k1. */
  static void words(int c0, int c1, int c2, int c3, int k0, int k1, int[] out) {
    for (int round = 0; round < ROUNDS; round++) {
      long p0 = (MULTIPLIER_0 & LOW) * (c0 & LOW);
      long p1 = (MULTIPLIER_1 & LOW) * (c2 & LOW);
      int n0 = (int) (p1 >>> 32) ^ c1 ^ k0;
      int n2 = (int) (p0 >>> 32) ^ c3 ^ k1;
      c1 = (int) p1;
      c3 = (int) p0;
      c0 = n0;
      c2 = n2;
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
  }

  /** The word of index {@code index} in the sequence of (seed, stream, step). */
  public static int word(long seed, int stream, long step, long index) {
    int[] out = new int[4];
    block(seed, stream, step, index >>> 2, out);
    return out[(int) (index & 3)];
  }

  /** A number strictly between 0 and 1 with 23 random bits, exact in f32. */
  public static float uniform(int word) {
    return ((word >>> 9) + 0.5f) * 0x1p-23f;
  }
}
