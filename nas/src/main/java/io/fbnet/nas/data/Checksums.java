package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/** SHA-256 and CRC32C of byte arrays and of segments larger than 2 GB. */
final class Checksums {
  private static final long CHUNK = 1L << 24;

  private Checksums() {}

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  static String sha256Hex(byte[] content) {
    return HexFormat.of().formatHex(sha256().digest(content));
  }

  static long crc32c(MemorySegment segment) {
    CRC32C crc = new CRC32C();
    forEachBuffer(segment, crc::update);
    return crc.getValue();
  }

  /** Walks a segment in buffers small enough for the classes that know none but these. */
  static void forEachBuffer(MemorySegment segment, Consumer<ByteBuffer> action) {
    for (long at = 0; at < segment.byteSize(); at += CHUNK) {
      action.accept(segment.asSlice(at, Math.min(CHUNK, segment.byteSize() - at)).asByteBuffer());
    }
  }
}
