package io.fbnet.nas.data;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/** CRC32C of segments, which may be larger than 2 GB. */
final class Checksums {
  private static final long CHUNK = 1L << 24;

  private Checksums() {}

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
