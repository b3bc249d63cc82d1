package io.fbnet.nas.data;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * Reads and decodes images of shards on several threads. Threads of its own do all reading, so that
 * whoever asks may be interrupted without a file being closed under others. Safe to share.
 */
final class ShardReader implements Closeable {
  /** Files that stay open; of further ones each image opens its own. */
  private static final int MOST_OPEN = 256;

  private final List<Path> shards;
  private final ImageShape shape;
  private final int threads;
  private final AtomicReferenceArray<FileChannel> open;
  private final ConcurrentLinkedQueue<ImageFileDecoder> decoders = new ConcurrentLinkedQueue<>();
  private final ExecutorService pool;

  ShardReader(List<Path> shards, ImageShape shape, int threads) {
    this.shards = List.copyOf(shards);
    this.shape = shape;
    this.threads = threads;
    open = new AtomicReferenceArray<>(Math.min(MOST_OPEN, shards.size()));
    pool =
        Executors.newFixedThreadPool(
            threads, Thread.ofPlatform().daemon().name("shard-reader-", 0).factory());
  }

  /** Where an image's file lies. */
  record Place(int shard, long offset, int bytes) {
    /** Whether a shard of so many bytes can hold it. */
    boolean isWithin(long size) {
      return offset >= 0 && bytes >= 0 && offset <= size - bytes;
    }
  }

  /** Is given images by their number among those asked for, on any thread. */
  interface Taker {
    void take(int number, byte[] pixels);

    /** What this throws ends the whole. */
    void bad(int number, BadImageException e);
  }

  /** Decodes images and returns when all are taken. */
  void decode(List<Place> places, Taker taker) {
    int count = places.size();
    AtomicInteger next = new AtomicInteger();
    List<Future<?>> workers = new ArrayList<>();
    for (int t = 0; t < Math.min(threads, count); t++) {
      workers.add(
          pool.submit(
              () -> {
                ImageFileDecoder decoder = decoders.poll();
                decoder = decoder == null ? new ImageFileDecoder() : decoder;
                try {
                  for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
                    decode(decoder, places.get(i), i, taker);
                  }
                } finally {
                  next.set(count);
                  decoders.add(decoder);
                }
              }));
    }
    boolean interrupted = false;
    Throwable failure = null;
    for (Future<?> worker : workers) {
      while (true) {
        try {
          worker.get();
          break;
        } catch (ExecutionException e) {
          failure = failure == null ? e.getCause() : failure;
          break;
        } catch (InterruptedException e) {
          // They write where the caller said, so it must wait for them.
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    switch (failure) {
      case null -> {}
      case RuntimeException runtime -> throw runtime;
      case Error error -> throw error;
      default -> throw new IllegalStateException(failure);
    }
  }

  private void decode(ImageFileDecoder decoder, Place place, int number, Taker taker) {
    byte[] pixels;
    try {
      pixels = CentreCropResizer.fit(decoder.decode(read(place), shape), shape);
    } catch (BadImageException e) {
      taker.bad(number, e);
      return;
    } catch (OutOfMemoryError e) {
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          shards.get(place.shard())
              + " holds an image that needs more memory to decode than is free; make it smaller,"
              + " give Java more with -Xmx, or decode on fewer threads.",
          e);
    }
    taker.take(number, pixels);
  }

  /** Whether an image can be decoded and has more than eight bits. */
  static boolean isDeep(Path shard, ShardMember member, ImageShape space) {
    Place place = new Place(0, member.offset(), member.bytes());
    try (ShardReader reader = new ShardReader(List.of(shard), space, 1);
        ImageFileDecoder decoder = new ImageFileDecoder()) {
      return decoder.decode(reader.read(place), space.with(PixelType.F32)).isDeep();
    } catch (BadImageException e) {
      // It will be named when its turn comes.
      return false;
    }
  }

  private byte[] read(Place place) throws BadImageException {
    ByteBuffer content = ByteBuffer.allocate(place.bytes());
    try {
      if (place.shard() < open.length()) {
        read(channel(place.shard()), content, place.offset());
      } else {
        try (FileChannel channel =
            FileChannel.open(shards.get(place.shard()), StandardOpenOption.READ)) {
          read(channel, content, place.offset());
        }
      }
    } catch (IOException e) {
      throw new BadImageException("cannot be read: " + IoReason.of(e), e);
    }
    return content.array();
  }

  private static void read(FileChannel channel, ByteBuffer content, long offset)
      throws IOException {
    while (content.hasRemaining()) {
      if (channel.read(content, offset + content.position()) < 0) {
        throw new IOException("the file ends early");
      }
    }
  }

  private FileChannel channel(int shard) throws IOException {
    FileChannel channel = open.get(shard);
    if (channel == null) {
      channel = FileChannel.open(shards.get(shard), StandardOpenOption.READ);
      if (!open.compareAndSet(shard, null, channel)) {
        channel.close();
        channel = open.get(shard);
      }
    }
    return channel;
  }

  Path shard(int number) {
    return shards.get(number);
  }

  @Override
  public void close() {
    pool.close();
    decoders.forEach(ImageFileDecoder::close);
    for (int i = 0; i < open.length(); i++) {
      FileChannel channel = open.get(i);
      if (channel != null) {
        try {
          channel.close();
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
    }
  }
}
