package io.fbnet.nas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class UserExceptionTest {
  /** What a file names may hold line breaks, and what makes a terminal show something else. */
  @Test
  void aSentenceIsOneLineOfPlainText() {
    assertEquals(
        "f: 'a b' and '\\u001b[31m\\u202e\\u2028\\ud800' and '\u00e9\ud83d\ude00'",
        UserException.data(
                "f: '%s' and '%s' and '%s'",
                "a\nb", "\u001b[31m\u202e\u2028\ud800", "\u00e9\ud83d\ude00")
            .getMessage());
  }

  @Test
  void aLongSentenceKeepsItsBeginningAndItsRemedy() {
    String message = UserException.usage("f: '%s': mend it", "x".repeat(1 << 20)).getMessage();
    assertTrue(message.length() < 2100, message);
    assertTrue(message.startsWith("f: 'xx") && message.endsWith("xx': mend it"), message);
  }
}
