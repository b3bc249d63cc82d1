package io.fbnet.nas.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdxFileTest {
  @TempDir private Path folder;

  static byte[] images(int count, int height, int width) {
    ByteBuffer content = ByteBuffer.allocate(16 + count * height * width);
    content.putInt(0x803).putInt(count).putInt(height).putInt(width);
    for (int i = 0; content.hasRemaining(); i++) {
      content.put((byte) (i * 7));
    }
    return content.array();
  }

  static byte[] labels(int... labels) {
    ByteBuffer content = ByteBuffer.allocate(8 + labels.length);
    content.putInt(0x801).putInt(labels.length);
    Arrays.stream(labels).forEach(l -> content.put((byte) l));
    return content.array();
  }

  static void writeGzip(Path file, byte[] content) throws IOException {
    try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
      out.write(content);
    }
  }

  @Test
  void readsPlainAndGzippedFiles() throws IOException {
    Path plain = Files.write(folder.resolve("plain"), images(3, 4, 5));
    Path packed = folder.resolve("packed.gz");
    writeGzip(packed, images(3, 4, 5));
    for (Path file : new Path[] {plain, packed}) {
      IdxFile idx = IdxFile.read(file, 3);
      assertEquals(3, idx.count());
      assertEquals(4, idx.height());
      assertEquals(5, idx.width());
      assertEquals((59 * 7) & 255, idx.value(59));
    }
    IdxFile idx = IdxFile.parse(labels(9, 0, 255), "labels", 1);
    assertEquals(255, idx.value(2));
  }

  @Test
  void saysWhatIsWrong() throws IOException {
    byte[] good = images(3, 4, 5);
    assertRefused("truncated", Arrays.copyOf(good, 70));
    assertRefused("truncated", Arrays.copyOf(good, 10));
    assertRefused("corrupt", Arrays.copyOf(good, 80));
    assertRefused("magic 00000801", labels(new int[20]));
    assertRefused("no images", images(0, 0, 0));
    byte[] negative = good.clone();
    negative[4] = (byte) 0x80;
    assertRefused("dimension", negative);

    Path packed = folder.resolve("cut.gz");
    writeGzip(packed, good);
    byte[] whole = Files.readAllBytes(packed);
    Path cut = Files.write(packed, Arrays.copyOf(whole, whole.length - 9));
    UserException e = assertThrows(UserException.class, () -> IdxFile.read(cut, 3));
    assertTrue(e.getMessage().contains("gzip") && e.getMessage().contains("cut.gz"));
  }

  /** Whatever a header says, it is read or refused in a sentence. */
  @Test
  void survivesRandomHeaders() {
    long seed = System.nanoTime();
    System.out.println("IdxFileTest seed " + seed);
    Random random = new Random(seed);
    for (int round = 0; round < 5000; round++) {
      byte[] file = images(2, 3, 3);
      for (int flips = 1 + random.nextInt(3); flips > 0; flips--) {
        file[random.nextInt(16)] = (byte) random.nextInt();
      }
      try {
        IdxFile idx = IdxFile.parse(file, "some-file", 3);
        assertEquals(18, idx.count() * idx.height() * idx.width());
      } catch (UserException e) {
        assertTrue(e.getMessage().contains("some-file"));
      }
    }
  }

  private static void assertRefused(String word, byte[] content) {
    UserException e =
        assertThrows(UserException.class, () -> IdxFile.parse(content, "some-file", 3));
    assertEquals(ExitCode.DATA_OR_CONFIGURATION, e.exitCode());
    assertTrue(
        e.getMessage().contains(word) && e.getMessage().contains("some-file"), e.getMessage());
  }
}
