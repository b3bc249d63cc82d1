package io.fbnet.nas.file;

import com.google.errorprone.annotations.CanIgnoreReturnValue;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * One message in protobuf's binary form, under construction: fields stand in the order in which
 * they are added, so equal calls give equal bytes. Large parts are kept by reference and never
 * copied into a parent.
 */
public final class ProtobufMessage {
  private static final int VARINT = 0;
  private static final int FIXED_64 = 1;
  private static final int LENGTH_DELIMITED = 2;
  private static final int FIXED_32 = 5;

  private final List<byte[]> chunks = new ArrayList<>();
  private final ByteArrayOutputStream tail = new ByteArrayOutputStream();
  private long chunkBytes;

  /** Bytes so far. */
  public long size() {
    return chunkBytes + tail.size();
  }

  /** An integer or enumeration field. */
  @CanIgnoreReturnValue
  public ProtobufMessage integer(int field, long value) {
    key(field, VARINT);
    varint(value);
    return this;
  }

  /** A float field. */
  @CanIgnoreReturnValue
  public ProtobufMessage real(int field, float value) {
    key(field, FIXED_32);
    byte[] bytes =
        ByteBuffer.allocate(Float.BYTES).order(ByteOrder.LITTLE_ENDIAN).putFloat(0, value).array();
    tail.writeBytes(bytes);
    return this;
  }

  /** A double field. */
  @CanIgnoreReturnValue
  public ProtobufMessage real(int field, double value) {
    key(field, FIXED_64);
    byte[] bytes =
        ByteBuffer.allocate(Double.BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putDouble(0, value)
            .array();
    tail.writeBytes(bytes);
    return this;
  }

  /** A string field, as UTF-8. */
  @CanIgnoreReturnValue
  public ProtobufMessage text(int field, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    key(field, LENGTH_DELIMITED);
    varint(bytes.length);
    tail.writeBytes(bytes);
    return this;
  }

  /** A bytes field; the array is not copied. */
  @CanIgnoreReturnValue
  public ProtobufMessage bytes(int field, byte[] value) {
    key(field, LENGTH_DELIMITED);
    varint(value.length);
    chunk(value);
    return this;
  }

  /** A field that is a message itself, complete by now. */
  @CanIgnoreReturnValue
  public ProtobufMessage message(int field, ProtobufMessage value) {
    key(field, LENGTH_DELIMITED);
    varint(value.size());
    return append(value);
  }

  /** All fields of another message of the same type. */
  @CanIgnoreReturnValue
  public ProtobufMessage append(ProtobufMessage other) {
    other.chunks.forEach(this::chunk);
    tail.writeBytes(other.tail.toByteArray());
    return this;
  }

  private void chunk(byte[] bytes) {
    if (tail.size() > 0) {
      chunks.add(tail.toByteArray());
      chunkBytes += tail.size();
      tail.reset();
    }
    chunks.add(bytes);
    chunkBytes += bytes.length;
  }

  private void key(int field, int wireType) {
    varint((long) field << 3 | wireType);
  }

  /** Seven bits a byte, the lowest first; the top bit says that more follow. */
  private void varint(long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      tail.write((int) (rest & 0x7f | 0x80));
      rest >>>= 7;
    }
    tail.write((int) rest);
  }

  /** A copy of every byte. */
  public byte[] toByteArray() {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    chunks.forEach(all::writeBytes);
    all.writeBytes(tail.toByteArray());
    return all.toByteArray();
  }

  /** Writes every byte. */
  public void writeTo(WritableByteChannel channel) throws IOException {
    for (byte[] chunk : chunks) {
      write(channel, chunk);
    }
    write(channel, tail.toByteArray());
  }

  private static void write(WritableByteChannel channel, byte[] bytes) throws IOException {
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }
}
