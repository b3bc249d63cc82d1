package io.fbnet.nas.data;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * The format of a cache file: a prefix of 4096 bytes (magic, version, where the footer is, CRC32C
 * of all that follows, CRC32C of the prefix itself), pixels, labels, and a {@link CacheFooter}.
 */
final class CacheFile {
  /** Where pixels begin; a whole page, so that they can be mapped. */
  static final long PREFIX_BYTES = 4096;

  private static final long MAGIC = 0x46424E4554494D47L;
  private static final int VERSION = 1;
  private static final int CHECKED_PREFIX = 40;
  private static final ValueLayout.OfInt LABEL =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ObjectMapper JSON = new ObjectMapper();

  /** A file as mapped into an arena, checked from the first to the last byte. */
  record Contents(CacheFooter footer, MemorySegment file, Arena arena) {
    ImageSet train() {
      return set("train", footer.trainOffset(), footer.trainSize(), footer.labelsOffset());
    }

    ImageSet test() {
      long labels = footer.labelsOffset() + 4L * footer.trainSize();
      return set("test", footer.testOffset(), footer.testSize(), labels);
    }

    private ImageSet set(String name, long offset, int size, long labelsOffset) {
      ImageShape shape = footer.shape();
      MemorySegment pixels = file.asSlice(offset, (long) size * shape.bytes());
      int[] labels = new int[size];
      MemorySegment.copy(file, LABEL, labelsOffset, labels, 0, size);
      return ImageSet.of(name, shape, pixels, labels, footer.classes());
    }
  }

  private CacheFile() {}

  /**
   * Maps and checks a file.
   *
   * @throws IOException whose message says what is wrong with it
   */
  static Contents map(Path path, Arena arena) throws IOException {
    MemorySegment file;
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      file = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    }
    if (file.byteSize() < PREFIX_BYTES) {
      throw new IOException("it is truncated");
    }
    ByteBuffer prefix = file.asSlice(0, PREFIX_BYTES).asByteBuffer();
    if (prefix.getLong() != MAGIC || prefix.getInt() != VERSION) {
      throw new IOException("it is of another version");
    }
    prefix.getInt();
    long footerOffset = prefix.getLong();
    long footerBytes = prefix.getLong();
    long crc = prefix.getLong();
    if (prefix.getLong() != prefixCrc(prefix)) {
      throw new IOException("its header is corrupt");
    }
    if (footerOffset < PREFIX_BYTES
        || footerBytes < 0
        || footerBytes != file.byteSize() - footerOffset) {
      throw new IOException("it is truncated");
    }
    try {
      if (Checksums.crc32c(file.asSlice(PREFIX_BYTES)) != crc) {
        throw new IOException("its checksum is wrong");
      }
    } catch (InternalError e) {
      // The JVM's way to say that a page of a mapped file could not be read.
      throw new IOException("a part of it cannot be read", e);
    }
    byte[] json = file.asSlice(footerOffset, footerBytes).toArray(JAVA_BYTE);
    try {
      CacheFooter footer = JSON.readValue(json, CacheFooter.class);
      footer.requireWithin(footerOffset);
      return new Contents(footer, file, arena);
    } catch (JsonProcessingException | IllegalArgumentException e) {
      throw new IOException("what it says of itself is wrong", e);
    }
  }

  /** The bytes of a footer. */
  static byte[] encode(CacheFooter footer) throws IOException {
    return JSON.writeValueAsBytes(footer);
  }

  /** The prefix of a file whose last part is the footer. */
  static ByteBuffer prefix(long footerOffset, long footerBytes, long crc) {
    ByteBuffer prefix = ByteBuffer.allocate((int) PREFIX_BYTES);
    prefix.putLong(MAGIC).putInt(VERSION).putInt(0);
    prefix.putLong(footerOffset).putLong(footerBytes).putLong(crc);
    prefix.putLong(prefixCrc(prefix));
    return prefix.rewind();
  }

  /** The bytes of labels. */
  static ByteBuffer encode(int[] labels) {
    ByteBuffer buffer = ByteBuffer.allocate(labels.length * 4).order(ByteOrder.LITTLE_ENDIAN);
    buffer.asIntBuffer().put(labels);
    return buffer;
  }

  private static long prefixCrc(ByteBuffer prefix) {
    CRC32C crc = new CRC32C();
    crc.update(prefix.duplicate().position(0).limit(CHECKED_PREFIX));
    return crc.getValue();
  }
}
