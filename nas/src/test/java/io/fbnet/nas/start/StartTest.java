package io.fbnet.nas.start;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/**
 * What an older Java is told. It says that it is old by a property, as only newer ones are here.
 */
class StartTest {
  private static Process start(String version) throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Djava.specification.version=" + version,
            "-Djava.version=" + version + ".0.1",
            "-cp",
            System.getProperty("java.class.path"),
            "io.fbnet.nas.start.Start",
            "--version")
        .redirectErrorStream(true)
        .start();
  }

  @Test
  void anOlderJavaIsToldWhatIsNeeded() throws Exception {
    for (String version : new String[] {"1.8", "11", "17", "24"}) {
      Process process = start(version);
      String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(4, process.waitFor(), said);
      assertEquals(1, said.lines().count(), said);
      assertTrue(said.startsWith("fbnet: Java 25 is needed, but this is Java " + version), said);
    }
  }

  @Test
  void everyJavaFrom8OnCanLoadIt() throws IOException {
    try (InputStream in = Start.class.getResourceAsStream("Start.class");
        DataInputStream data = new DataInputStream(in)) {
      assertEquals(0xCAFEBABE, data.readInt());
      assertEquals(0, data.readUnsignedShort());
      assertEquals(52, data.readUnsignedShort(), "the version of class files of Java 8");
    }
  }
}
