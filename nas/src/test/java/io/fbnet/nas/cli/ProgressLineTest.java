package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class ProgressLineTest {
  private long nanos;
  private final StringWriter text = new StringWriter();

  private ProgressLine line(boolean terminal) {
    return new ProgressLine(new PrintWriter(text, true), terminal, () -> nanos);
  }

  private void after(double seconds) {
    nanos += (long) (seconds * 1e9);
  }

  @Test
  void aLogGetsFewPlainLines() {
    try (ProgressLine line = line(false)) {
      line.update(0, 100, "epoch 1");
      after(1);
      line.update(1, 100, "epoch 1");
      after(4);
      line.update(5, 100, "epoch 1");
      after(1);
      line.update(100, 100, "done");
    }
    assertEquals("  0%  epoch 1\n  5%  epoch 1, 1m35s left\n100%  done\n", text.toString());
  }

  @Test
  void aTerminalGetsOneLineThatIsRewritten() {
    try (ProgressLine line = line(true)) {
      line.update(0, 10, "a");
      after(0.01);
      line.update(1, 10, "b");
      after(0.99);
      line.update(1, 10, "c");
      line.clear();
      line.clear();
      after(1);
      line.update(2, 10, "d");
    }
    assertEquals(
        "\r  0%  a\u001b[K\r 10%  c, 9s left\u001b[K\r\u001b[K\r 20%  d, 8s left\u001b[K\n",
        text.toString());
  }

  @Test
  void workBeforeAResumeDoesNotCount() {
    ProgressLine line = line(false);
    line.update(50, 100, "x");
    after(10);
    line.update(60, 100, "x");
    line.close();
    assertEquals(" 50%  x\n 60%  x, 40s left\n", text.toString());
    assertEquals("59s", ProgressLine.duration(59));
    assertEquals("2h07m", ProgressLine.duration(7650));
  }
}
