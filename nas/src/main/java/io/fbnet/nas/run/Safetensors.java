package io.fbnet.nas.run;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.AtomicFile;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Nearest;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * The safetensors format (github.com/huggingface/safetensors): eight bytes little-endian header
 * length, a JSON header, then the tensors' bytes without gaps. Tensors are streamed through a small
 * buffer in both directions, so a file may be larger than the memory.
 */
public final class Safetensors {
  /** As of every JSON that is read here; room for 100,000 tensors. */
  private static final long LONGEST_HEADER = 16L << 20;

  private static final int BUFFER_BYTES = 1 << 20;

  private Safetensors() {}

  /**
   * What was written.
   *
   * @param bytes length of the file
   * @param sha256 of the whole file, in lower-case hexadecimal
   */
  public record Written(long bytes, String sha256) {}

  /**
   * Writes a file whole or not at all: temporary file, disk, atomic move. Tensors are laid out by
   * falling alignment, then by name, as the reference implementation does.
   *
   * @param target the file, replaced where it exists; missing folders are made
   * @param tensors of different names, in any order
   * @param metadata free texts, in the order of the map
   * @return length and hash of the file
   * @throws IllegalArgumentException if two tensors have one name
   * @throws IOException if the disk is full or unwritable
   */
  public static Written write(Path target, List<Tensor> tensors, Map<String, String> metadata)
      throws IOException {
    List<Tensor> ordered = new ArrayList<>(tensors);
    ordered.sort(
        Comparator.<Tensor>comparingInt(tensor -> -tensor.type().bytes())
            .thenComparing(Tensor::name));
    byte[] header = SafetensorsHeader.of(ordered, metadata).text().getBytes(StandardCharsets.UTF_8);
    MessageDigest digest = Sha256.digest();
    long[] written = new long[1];
    AtomicFile.write(
        target,
        channel -> {
          ByteBuffer buffer =
              ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
          Sink sink = new Sink(channel, digest, buffer);
          ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
          length.putLong(0, header.length);
          sink.put(MemorySegment.ofBuffer(length));
          sink.put(MemorySegment.ofArray(header));
          for (Tensor tensor : ordered) {
            sink.put(tensor.data());
          }
          sink.flush();
          written[0] = channel.size();
        });
    return new Written(written[0], HexFormat.of().formatHex(digest.digest()));
  }

  /**
   * Collects small pieces and splits large ones: a channel takes only buffers, of 2 GiB at most.
   */
  private static final class Sink {
    private final FileChannel channel;
    private final MessageDigest digest;
    private final ByteBuffer buffer;
    private final MemorySegment memory;

    Sink(FileChannel channel, MessageDigest digest, ByteBuffer buffer) {
      this.channel = channel;
      this.digest = digest;
      this.buffer = buffer;
      this.memory = MemorySegment.ofBuffer(buffer);
    }

    void put(MemorySegment data) throws IOException {
      long offset = 0;
      while (offset < data.byteSize()) {
        if (!buffer.hasRemaining()) {
          flush();
        }
        int count = (int) Math.min(buffer.remaining(), data.byteSize() - offset);
        MemorySegment.copy(data, offset, memory, buffer.position(), count);
        buffer.position(buffer.position() + count);
        offset += count;
      }
    }

    void flush() throws IOException {
      buffer.flip();
      digest.update(buffer.duplicate());
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      buffer.clear();
    }
  }

  /**
   * Opens a file and checks its header.
   *
   * @param path the file
   * @return the open file; the caller closes it
   * @throws UserException (exit code 3) if it is no complete safetensors file of known types, (exit
   *     code 5) if it cannot be read
   */
  public static Reader open(Path path) {
    FileChannel channel = null;
    try {
      channel = FileChannel.open(path, StandardOpenOption.READ);
      Reader reader = new Reader(path, channel);
      channel = null;
      return reader;
    } catch (NoSuchFileException e) {
      throw UserException.data("there is no file %s", path);
    } catch (IOException e) {
      throw unreadable(path, e);
    } finally {
      closeQuietly(channel);
    }
  }

  private static void closeQuietly(FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        // Nothing was written, and the reason for closing is the one worth telling.
      }
    }
  }

  static UserException unreadable(Path path, IOException cause) {
    return new UserException(
        ExitCode.STORAGE,
        path + " cannot be read (" + IoReason.of(cause) + "): check the disk",
        cause);
  }

  /** An open file; close it when done. Not for several threads at once. */
  public static final class Reader implements AutoCloseable {
    private final Path path;
    private final FileChannel channel;
    private final SafetensorsHeader header;
    private final long dataStart;

    private Reader(Path path, FileChannel channel) throws IOException {
      this.path = path;
      this.channel = channel;
      long size = channel.size();
      ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      if (size < 8 || !readFully(length, 0)) {
        throw damaged("it has only " + size + " bytes");
      }
      long headerBytes = length.getLong(0);
      if (headerBytes < 2 || headerBytes > size - 8) {
        throw damaged("its header claims " + headerBytes + " bytes of a file of " + size);
      }
      if (headerBytes > LONGEST_HEADER) {
        throw UserException.data(
            "%s has a header of %d bytes, more than the %d that are read",
            path, headerBytes, LONGEST_HEADER);
      }
      ByteBuffer text = ByteBuffer.allocate((int) headerBytes);
      if (!readFully(text, 8)) {
        throw damaged("its header ends early");
      }
      String json;
      try {
        json = StandardCharsets.UTF_8.newDecoder().decode(text.flip()).toString();
      } catch (CharacterCodingException e) {
        throw damaged("its header is not UTF-8 text");
      }
      if (json.charAt(0) != '{') {
        throw damaged("its header does not begin with '{'");
      }
      dataStart = 8 + headerBytes;
      header = SafetensorsHeader.parse(path.toString(), json, size - dataStart);
    }

    private UserException damaged(String why) {
      return UserException.data("%s is no safetensors file, or a torn one: %s", path, why);
    }

    private boolean readFully(ByteBuffer buffer, long position) throws IOException {
      while (buffer.hasRemaining()) {
        int count = channel.read(buffer, position);
        if (count < 0) {
          return false;
        }
        position += count;
      }
      return true;
    }

    /** {@return the names of the tensors, in the order of their bytes} */
    public List<String> names() {
      return List.copyOf(header.entries().keySet());
    }

    /** {@return free texts that were written beside the tensors} */
    public Map<String, String> metadata() {
      return Map.copyOf(header.metadata());
    }

    /**
     * {@return the type of a tensor}
     *
     * @param name the tensor's
     * @throws UserException (exit code 3) if there is none of this name
     */
    public Tensor.Type type(String name) {
      return entry(name).type();
    }

    /**
     * {@return the shape of a tensor; empty for a single number}
     *
     * @param name the tensor's
     * @throws UserException (exit code 3) if there is none of this name
     */
    public List<Long> shape(String name) {
      return entry(name).shape();
    }

    private SafetensorsHeader.Entry entry(String name) {
      SafetensorsHeader.Entry entry = header.entries().get(name);
      if (entry == null) {
        throw UserException.data(
            "%s holds no tensor '%s'%s", path, name, Nearest.hint(name, header.entries().keySet()));
      }
      return entry;
    }

    /**
     * Reads a tensor into another's memory.
     *
     * @param expected the name, type and shape that it must have, and the memory to fill
     * @throws UserException (exit code 3) if type, shape or name differ from the file's, or the
     *     file ends early; (exit code 5) if it cannot be read
     */
    public void read(Tensor expected) {
      SafetensorsHeader.Entry entry = entry(expected.name());
      if (entry.type() != expected.type() || !entry.shape().equals(expected.shape())) {
        throw UserException.data(
            "%s: the tensor '%s' is %s %s, but %s %s is needed: the file is of another network",
            path, expected.name(), entry.type(), entry.shape(), expected.type(), expected.shape());
      }
      read(expected.name(), expected.data());
    }

    /**
     * Reads a tensor's bytes.
     *
     * @param name the tensor's
     * @param into memory of exactly its size
     * @throws IllegalArgumentException if the memory has another size
     * @throws UserException (exit code 3) if there is none of this name or the file ends early,
     *     (exit code 5) if it cannot be read
     */
    public void read(String name, MemorySegment into) {
      SafetensorsHeader.Entry entry = entry(name);
      long bytes = entry.end() - entry.begin();
      if (into.byteSize() != bytes) {
        throw new IllegalArgumentException(
            "the tensor " + name + " has " + bytes + " bytes, the memory " + into.byteSize());
      }
      try {
        ByteBuffer buffer = ByteBuffer.allocateDirect((int) Math.min(BUFFER_BYTES, bytes));
        MemorySegment memory = MemorySegment.ofBuffer(buffer);
        for (long done = 0; done < bytes; ) {
          buffer.clear().limit((int) Math.min(buffer.capacity(), bytes - done));
          if (!readFully(buffer, dataStart + entry.begin() + done)) {
            throw damaged("the tensor '" + name + "' ends early");
          }
          MemorySegment.copy(memory, 0, into, done, buffer.limit());
          done += buffer.limit();
        }
      } catch (IOException e) {
        throw unreadable(path, e);
      }
    }

    @Override
    public void close() {
      closeQuietly(channel);
    }
  }
}
