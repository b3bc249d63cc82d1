package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class PhiloxTest {
  /** The known answers that the authors of Random123 publish for philox4x32-10. */
  @Test
  void givesThePublishedWords() {
    assertArrayEquals(
        new int[] {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, words(0, 0, 0, 0, 0));
    assertArrayEquals(
        new int[] {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, words(-1L, -1, -1, -1, -1));
    assertArrayEquals(
        new int[] {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
        words(0x299f31d0a4093822L, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344));
  }

  @Test
  void boundsTheLargestAndSmallestWords() {
    assertEquals(0, Philox.below(0, 9));
    assertEquals(8, Philox.below(-1, 9));
    assertEquals(0, Philox.below(-1, 1));
  }

  private static int[] words(long seed, int c0, int c1, int c2, int c3) {
    Philox philox = new Philox(seed).at(c0, c1, c2, c3);
    return new int[] {philox.w0, philox.w1, philox.w2, philox.w3};
  }
}
