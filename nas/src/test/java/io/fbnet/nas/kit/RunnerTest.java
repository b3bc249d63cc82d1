package io.fbnet.nas.kit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The unit tests of the kit's runner, which are Python's. */
class RunnerTest {
  @Test
  void theRunnersOwnTestsPass() throws IOException, InterruptedException {
    Process process;
    try {
      process =
          new ProcessBuilder("python3", "-m", "unittest", "-q")
              .directory(Path.of("src", "test", "python").toFile())
              .redirectErrorStream(true)
              .start();
    } catch (IOException e) {
      assumeTrue(false, "python3 was not found: " + e.getMessage());
      return;
    }
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
  }
}
