package io.fbnet.engine.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PhiloxTest {
  private static int[] words(String hex) {
    String[] parts = hex.split(" ", -1);
    int[] result = new int[parts.length];
    for (int i = 0; i < result.length; i++) {
      result[i] = Integer.parseUnsignedInt(parts[i], 16);
    }
    return result;
  }

  /** The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10). */
  @ParameterizedTest
  @CsvSource({
    "0 0 0 0, 0 0, 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff, ffffffff ffffffff, 408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344, a4093822 299f31d0, d16cfe09 94fdcceb 5001e420 24126ea1"
  })
  void givesThePublishedAnswers(String counter, String key, String answer) {
    int[] c = words(counter);
    int[] k = words(key);
    int[] out = new int[4];
    Philox.words(c[0], c[1], c[2], c[3], k[0], k[1], out);
    assertArrayEquals(words(answer), out);
  }

  @Test
  void wordsOfABlockAreConsecutive() {
    int[] out = new int[4];
    Philox.block(42, 7, 3, 5, out);
    for (int i = 0; i < 4; i++) {
      assertEquals(out[i], Philox.word(42, 7, 3, 20 + i));
    }
  }

  @Test
  void everyPartOfTheKeyMatters() {
    int word = Philox.word(42, 7, 3, 5);
    assertNotEquals(word, Philox.word(43, 7, 3, 5));
    assertNotEquals(word, Philox.word(42 + (1L << 32), 7, 3, 5));
    assertNotEquals(word, Philox.word(42, 8, 3, 5));
    assertNotEquals(word, Philox.word(42, 7, 4, 5));
    assertNotEquals(word, Philox.word(42, 7, 3 + (1L << 32), 5));
    assertNotEquals(word, Philox.word(42, 7, 3, 6));
    assertNotEquals(word, Philox.word(42, 7, 3, 5 + (1L << 34)));
  }

  @Test
  void streamsOfOneSeedDoNotMeet() {
    Set<Long> seen = new HashSet<>();
    int[] out = new int[4];
    for (int stream = 0; stream < 1000; stream++) {
      Philox.block(1, stream, 0, 0, out);
      assertTrue(seen.add((long) out[0] << 32 | (out[1] & 0xFFFFFFFFL)), "stream " + stream);
    }
  }

  @Test
  void uniformNumbersLieStrictlyBetweenZeroAndOne() {
    assertEquals(0x1p-24f, Philox.uniform(0));
    assertEquals(1 - 0x1p-24f, Philox.uniform(-1));
    assertEquals(0.5f + 0x1p-24f, Philox.uniform(Integer.MIN_VALUE));
  }
}
