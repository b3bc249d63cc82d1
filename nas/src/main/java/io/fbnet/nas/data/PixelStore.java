package io.fbnet.nas.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Where decoded images of one size go, by number. Different images may be written at once. */
interface PixelStore {
  void write(long index, byte[] image) throws IOException;

  void read(long index, byte[] image) throws IOException;

  /** Nowhere: for a pass that only wants to know whether images can be decoded. */
  static PixelStore none() {
    return new PixelStore() {
      @Override
      public void write(long index, byte[] image) {}

      @Override
      public void read(long index, byte[] image) {}
    };
  }

  /** Memory. */
  static PixelStore in(MemorySegment segment) {
    return new PixelStore() {
      @Override
      public void write(long index, byte[] image) {
        MemorySegment.copy(
            image, 0, segment, ValueLayout.JAVA_BYTE, index * image.length, image.length);
      }

      @Override
      public void read(long index, byte[] image) {
        MemorySegment.copy(
            segment, ValueLayout.JAVA_BYTE, index * image.length, image, 0, image.length);
      }
    };
  }

  /**
   * A part of a file. Written by calls, not through a mapping: a full disk is then an exception.
   */
  static PixelStore in(FileChannel channel, long offset) {
    return new PixelStore() {
      @Override
      public void write(long index, byte[] image) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(image);
        while (buffer.hasRemaining()) {
          channel.write(buffer, offset + index * image.length + buffer.position());
        }
      }

      @Override
      public void read(long index, byte[] image) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(image);
        while (buffer.hasRemaining()) {
          if (channel.read(buffer, offset + index * image.length + buffer.position()) < 0) {
            throw new IOException("the file ends early");
          }
        }
      }
    };
  }
}
