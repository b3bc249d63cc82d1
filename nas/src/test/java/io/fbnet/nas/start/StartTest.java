package io.fbnet.nas.start;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import org.junit.jupiter.api.Test;

class StartTest {
  @Test
  void anOlderJavaIsToldWhatIsNeeded() {
    for (String version : new String[] {"1.8", "11", "17", "24", "odd", ""}) {
      String said = Start.complaint(version, version + ".0.1", "/opt/old");
      assertEquals(1, said.lines().count(), said);
      assertTrue(
          said.startsWith(
              "fbnet: Java 25 is needed, but this is Java " + version + ".0.1 in /opt/old: "),
          said);
    }
    for (String version : new String[] {"25", "26", "30"}) {
      assertEquals("", Start.complaint(version, version + ".0.1", "/opt/new"));
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
