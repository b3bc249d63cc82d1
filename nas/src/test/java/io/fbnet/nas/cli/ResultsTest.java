package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class ResultsTest {
  private static Results failing(String message) {
    return new Results(
        new OutputStream() {
          @Override
          public void write(int b) throws IOException {
            throw new IOException(message);
          }
        });
  }

  private static void print(Results results) {
    PrintWriter out = new PrintWriter(results, true, StandardCharsets.UTF_8);
    out.println("a result");
    out.flush();
  }

  @Test
  void aFullDiskIsAStorageErrorThoughPrintingSwallowsIt() {
    Results full = failing("No space left on device");
    print(full);
    assertEquals(ExitCode.STORAGE, full.failure().orElseThrow().exitCode());
    assertTrue(full.failure().orElseThrow().getMessage().contains("No space left"));
  }

  @Test
  void aReaderThatHasHadEnoughIsNone() {
    Results head = failing("Broken pipe");
    print(head);
    assertTrue(head.failure().isEmpty());
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    Results good = new Results(bytes);
    print(good);
    assertTrue(good.failure().isEmpty());
    assertEquals("a result", bytes.toString(StandardCharsets.UTF_8).strip());
  }
}
