package io.fbnet.engine.program;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.engine.cpu.CpuBackend;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class StepProcessTest {
  private static final long MIB = 1 << 20;

  @BeforeEach
  void needsLibrary() {
    assumeTrue(CpuBackend.availability().found(), () -> CpuBackend.availability().remedy());
  }

  @Test
  void anotherProcessComputesTheSameBits() throws Exception {
    String other = StepProcess.start("digest", 2).get(1);
    try (CpuBackend cpu = CpuBackend.open(2)) {
      assertEquals("digest " + other, StepProcess.digest(cpu));
    }
    assertNotEquals("", other);
  }

  /**
   * The heap is touched whole at the start, so what grows is memory outside it. Compiling in the
   * foreground ends the compiler's own growth, some ten MiB, after as many steps on any machine,
   * and glibc gives back what the compiler freed.
   */
  @Test
  void aThousandStepsLeaveNativeMemoryFlat() throws Exception {
    assumeTrue(Files.exists(Path.of("/proc/self/status")), "there is no /proc/self/status");
    List<String> words =
        StepProcess.start(
            "resident",
            2,
            "-Xbatch",
            "-XX:TrimNativeHeapInterval=100",
            "-Xms96m",
            "-Xmx96m",
            "-XX:+AlwaysPreTouch",
            "-XX:+UseSerialGC");
    long before = Long.parseLong(words.get(1));
    long after = Long.parseLong(words.get(2));
    System.out.printf("resident: %d MiB, then %d MiB%n", before / MIB, after / MIB);
    assertTrue(after - before < 2 * MIB, "grew by " + (after - before) + " bytes");
  }
}
