package io.fbnet.nas.data;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32C;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;

/** Tar files that tests write. */
public final class TestShards {
  private final Map<String, byte[]> files = new LinkedHashMap<>();
  private final Map<String, String> links = new LinkedHashMap<>();

  TestShards add(String name, byte[] content) {
    files.put(name, content);
    return this;
  }

  /** A sample of an image and its class. */
  TestShards sample(String key, int number, int label) {
    String ending = number % 2 == 0 ? "png" : "jpeg";
    byte[] image =
        TestFiles.encode(TestFiles.gradient(12 + number % 5, 10 + number % 7, number), ending);
    return add(key + "." + (number % 2 == 0 ? "png" : "JPG"), image)
        .add(key + ".json", "{}".getBytes(StandardCharsets.UTF_8))
        .add(key + ".cls", (label + "\n").getBytes(StandardCharsets.US_ASCII));
  }

  /** A second name of a file, as tar writes hard links. */
  TestShards link(String name, String of) {
    links.put(name, of);
    return this;
  }

  Path write(Path shard) throws IOException {
    Files.createDirectories(shard.getParent());
    try (TarArchiveOutputStream tar = new TarArchiveOutputStream(Files.newOutputStream(shard))) {
      tar.setLongFileMode(TarArchiveOutputStream.LONGFILE_POSIX);
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        TarArchiveEntry entry = new TarArchiveEntry(file.getKey());
        entry.setSize(file.getValue().length);
        tar.putArchiveEntry(entry);
        tar.write(file.getValue());
        tar.closeArchiveEntry();
      }
      for (Map.Entry<String, String> link : links.entrySet()) {
        TarArchiveEntry entry = new TarArchiveEntry(link.getKey(), TarConstants.LF_LINK);
        entry.setLinkName(link.getValue());
        tar.putArchiveEntry(entry);
        tar.closeArchiveEntry();
      }
    }
    return shard;
  }

  /** Shards of training images and one of test images, of {@code each} samples and two classes. */
  public static Path folder(Path root, int shards, int each) throws IOException {
    int number = 0;
    for (int s = 0; s <= shards; s++) {
      TestShards shard = new TestShards();
      for (int i = 0; i < each; i++, number++) {
        shard.sample("some/folder/" + number, number, number % 2);
      }
      shard.write(root.resolve(s < shards ? "pets-train-" + s + ".tar" : "pets-val-0.tar"));
    }
    return root;
  }

  /** An index's checksum as it should be. */
  static byte[] withRightSum(byte[] bytes) {
    if (bytes.length > Long.BYTES) {
      CRC32C sum = new CRC32C();
      sum.update(bytes, 0, bytes.length - Long.BYTES);
      ByteBuffer.wrap(bytes).putLong(bytes.length - Long.BYTES, sum.getValue());
    }
    return bytes;
  }
}
