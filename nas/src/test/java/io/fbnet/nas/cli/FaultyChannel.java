package io.fbnet.nas.cli;

import io.fbnet.nas.cli.FaultyFiles.Fault;
import io.fbnet.nas.cli.FaultyFiles.Operation;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;

/** An open file of {@link FaultyFiles}. */
final class FaultyChannel extends FileChannel {
  private final FaultyFiles owner;
  private final FileChannel file;
  private final Path path;
  private final boolean writes;

  FaultyChannel(FaultyFiles owner, FileChannel file, Path path, boolean writes) {
    this.owner = owner;
    this.file = file;
    this.path = path;
    this.writes = writes;
  }

  /** Throws where the operation fails; how much of {@code source} it takes where it is short. */
  private ByteBuffer taken(Operation operation, ByteBuffer source) throws IOException {
    Fault fault = owner.strikes(operation, path);
    if (fault == null) {
      return source.duplicate();
    }
    if (!fault.isOfWritesAlone()) {
      throw new IOException(fault.message);
    }
    return source.slice(source.position(), source.remaining() / 2);
  }

  private void require(Operation operation) throws IOException {
    taken(operation, ByteBuffer.allocate(0));
  }

  private static int moved(ByteBuffer source, int count) {
    source.position(source.position() + count);
    return count;
  }

  @Override
  public int write(ByteBuffer source) throws IOException {
    ByteBuffer taken = taken(Operation.WRITE, source);
    return moved(source, file.write(taken));
  }

  @Override
  public int write(ByteBuffer source, long position) throws IOException {
    ByteBuffer taken = taken(Operation.WRITE, source);
    return moved(source, file.write(taken, position));
  }

  @Override
  public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
    require(Operation.WRITE);
    return file.write(sources, offset, length);
  }

  @Override
  public long transferFrom(ReadableByteChannel from, long position, long count) throws IOException {
    require(Operation.WRITE);
    return file.transferFrom(from, position, count);
  }

  @Override
  public int read(ByteBuffer target) throws IOException {
    require(Operation.READ);
    return file.read(target);
  }

  @Override
  public int read(ByteBuffer target, long position) throws IOException {
    require(Operation.READ);
    return file.read(target, position);
  }

  @Override
  public long read(ByteBuffer[] targets, int offset, int length) throws IOException {
    require(Operation.READ);
    return file.read(targets, offset, length);
  }

  @Override
  public long transferTo(long position, long count, WritableByteChannel to) throws IOException {
    require(Operation.READ);
    return file.transferTo(position, count, to);
  }

  @Override
  public MappedByteBuffer map(MapMode mode, long position, long size) throws IOException {
    require(Operation.READ);
    return file.map(mode, position, size);
  }

  @Override
  public MemorySegment map(MapMode mode, long offset, long size, Arena arena) throws IOException {
    require(Operation.READ);
    return file.map(mode, offset, size, arena);
  }

  @Override
  public long position() throws IOException {
    return file.position();
  }

  @Override
  public FileChannel position(long position) throws IOException {
    file.position(position);
    return this;
  }

  @Override
  public long size() throws IOException {
    return file.size();
  }

  @Override
  public FileChannel truncate(long size) throws IOException {
    require(Operation.TRUNCATE);
    file.truncate(size);
    return this;
  }

  @Override
  public void force(boolean metadata) throws IOException {
    require(Operation.FORCE);
    file.force(metadata);
  }

  @Override
  public FileLock lock(long position, long size, boolean shared) throws IOException {
    return file.lock(position, size, shared);
  }

  @Override
  public FileLock tryLock(long position, long size, boolean shared) throws IOException {
    return file.tryLock(position, size, shared);
  }

  /** As the system does it: a file whose closing fails is closed. */
  @Override
  protected void implCloseChannel() throws IOException {
    file.close();
    if (writes) {
      require(Operation.CLOSE);
    }
  }
}
