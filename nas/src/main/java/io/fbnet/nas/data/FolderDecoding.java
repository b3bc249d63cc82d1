package io.fbnet.nas.data;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import java.io.IOException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** Decodes listed image files on several threads and tells how far it is every few seconds. */
final class FolderDecoding {
  private static final long NANOS_BETWEEN_NOTICES = 5_000_000_000L;

  private final ImageShape shape;
  private final int threads;
  private final BadSamples bad;
  private final Consumer<String> notices;
  private final long total;
  private final AtomicLong done = new AtomicLong();
  private final AtomicLong lastNotice = new AtomicLong(System.nanoTime());

  /**
   * A pass over {@code total} images.
   *
   * @param bad is told of every image that cannot be read
   */
  FolderDecoding(DataOptions options, BadSamples bad, long total) {
    shape = options.shape();
    threads = options.threads();
    notices = options.notices();
    this.bad = bad;
    this.total = total;
  }

  /**
   * Decodes one split; bad images leave no gap.
   *
   * @return the labels of the images that were stored
   * @throws IOException where the store fails
   */
  int[] decode(List<ImageFolderListing.Entry> entries, PixelStore store) throws IOException {
    boolean[] stored = new boolean[entries.size()];
    AtomicInteger next = new AtomicInteger();
    ExecutorService pool =
        Executors.newFixedThreadPool(
            threads, Thread.ofPlatform().daemon().name("image-decoder-", 0).factory());
    try {
      List<Future<?>> workers = new ArrayList<>();
      for (int t = 0; t < threads; t++) {
        workers.add(
            pool.submit(
                () -> {
                  try (ImageFileDecoder decoder = new ImageFileDecoder()) {
                    for (int i = next.getAndIncrement();
                        i < stored.length;
                        i = next.getAndIncrement()) {
                      stored[i] = decode(decoder, entries.get(i), i, store);
                    }
                  }
                  return null;
                }));
      }
      for (Future<?> worker : workers) {
        worker.get();
      }
    } catch (ExecutionException e) {
      throw failure(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UserException(ExitCode.INTERRUPTED, "Interrupted while decoding images.", e);
    } finally {
      // Workers stop at their next image: nothing is left to take.
      next.set(stored.length);
      pool.close();
    }
    return closeGaps(entries, stored, store);
  }

  /** Whether a file can be decoded and has more than eight bits. */
  static boolean isDeep(ImageFolderListing.Entry entry, ImageShape space) {
    try (ImageFileDecoder decoder = new ImageFileDecoder()) {
      return decoder.decode(read(entry), space.with(PixelType.F32)).isDeep();
    } catch (BadImageException e) {
      // It will be named when its turn comes.
      return false;
    }
  }

  private boolean decode(
      ImageFileDecoder decoder, ImageFolderListing.Entry entry, int index, PixelStore store)
      throws IOException {
    boolean good = false;
    try {
      store.write(index, CentreCropResizer.fit(decoder.decode(read(entry), shape), shape));
      good = true;
    } catch (BadImageException e) {
      bad.report(new Problem(entry.file().toString(), e.getMessage()));
    } catch (OutOfMemoryError e) {
      // Not a bad image: leaving it out would depend on what else was being decoded.
      throw new UserException(
          ExitCode.DEVICE_OR_MEMORY,
          entry.file()
              + " needs more memory to decode than is free; make the image smaller, give"
              + " Java more with -Xmx, or decode on fewer threads.",
          e);
    }
    tellProgress(done.incrementAndGet());
    return good;
  }

  private static byte[] read(ImageFolderListing.Entry entry) throws BadImageException {
    try {
      return Files.readAllBytes(entry.file());
    } catch (NoSuchFileException | FileSystemLoopException e) {
      if (Files.isSymbolicLink(entry.file())) {
        throw new BadImageException("is a link that leads nowhere", e);
      }
      throw new BadImageException("cannot be read: " + IoReason.of(e), e);
    } catch (IOException e) {
      throw new BadImageException("cannot be read: " + IoReason.of(e), e);
    }
  }

  private void tellProgress(long count) {
    long last = lastNotice.get();
    long now = System.nanoTime();
    if (now - last >= NANOS_BETWEEN_NOTICES && lastNotice.compareAndSet(last, now)) {
      notices.accept(
          "decoded " + count + " of " + total + " images (" + 100 * count / total + "%)");
    }
  }

  private int[] closeGaps(
      List<ImageFolderListing.Entry> entries, boolean[] stored, PixelStore store)
      throws IOException {
    int[] labels = new int[stored.length];
    byte[] image = new byte[shape.bytes()];
    int kept = 0;
    for (int i = 0; i < stored.length; i++) {
      if (stored[i]) {
        if (kept != i) {
          store.read(i, image);
          store.write(kept, image);
        }
        labels[kept++] = entries.get(i).label();
      }
    }
    return Arrays.copyOf(labels, kept);
  }

  private static IOException failure(Throwable cause) {
    return switch (cause) {
      case IOException io -> io;
      case RuntimeException runtime -> throw runtime;
      case Error error -> throw error;
      default -> new IOException(cause);
    };
  }
}
