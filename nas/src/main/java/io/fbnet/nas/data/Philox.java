package io.fbnet.nas.data;

/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"): a counter in, four
 * random words out, no state carried from one draw to the next. Not safe for use by two threads.
 */
final class Philox {
  private static final long M0 = 0xD2511F53L;
  private static final long M1 = 0xCD9E8D57L;
  private static final int W0 = 0x9E3779B9;
  private static final int W1 = 0xBB67AE85;
  private static final long LOW = 0xFFFFFFFFL;

  private final int key0;
  private final int key1;

  /** The four words of the last draw. */
  int w0;

  int w1;
  int w2;
  int w3;

  Philox(long seed) {
    key0 = (int) seed;
    key1 = (int) (seed >>> 32);
  }

  /** Draws the four words that belong to this counter. */
  Philox at(int c0, int c1, int c2, int c3) {
    int k0 = key0;
    int k1 = key1;
    for (int round = 0; round < 10; round++) {
      long p0 = M0 * (c0 & LOW);
      long p1 = M1 * (c2 & LOW);
      c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
      c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
      c1 = (int) p1;
      c3 = (int) p0;
      k0 += W0;
      k1 += W1;
    }
    w0 = c0;
    w1 = c1;
    w2 = c2;
    w3 = c3;
    return this;
  }

  /** A whole number from 0 to {@code bound - 1} out of a random word. */
  static int below(int word, int bound) {
    return (int) (((word & LOW) * bound) >>> 32);
  }

  /** A number from 0 (included) to 1 (excluded) out of a random word. */
  static double unit(int word) {
    return (word & LOW) * 0x1p-32;
  }
}
