package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.Folder;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import java.io.Closeable;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The decoded images of one folder at one size, in one file of the user's cache. The file's name
 * holds a digest of the folder's path and the size, then one of its listing; when the folder
 * changes, a new file takes the old one's place.
 */
final class DecodedCache {
  /** Raise it when decoding or resizing changes, so that older files are not taken. */
  private static final int DECODER_VERSION = 2;

  private static final String EXTENSION = ".pixels";
  private static final Duration ABANDONED = Duration.ofDays(1);

  private final String name;
  private final DataOptions options;
  private final Path directory;
  private final String family;
  private final String key;
  private final Path path;

  DecodedCache(String name, Path folder, String listingDigest, DataOptions options) {
    this.name = name;
    this.options = options;
    directory = options.cacheDir().resolve("decoded");
    String place =
        folder.toAbsolutePath().normalize()
            + "\n"
            + options.shape()
            + (options.whole() ? " whole\n" : "\n");
    family = name.replaceAll("[^A-Za-z0-9._-]", "_") + "-" + sha256(place).substring(0, 12);
    key = sha256(place + DECODER_VERSION + "\n" + listingDigest);
    path = directory.resolve(family + "-" + key.substring(0, 16) + EXTENSION);
  }

  /**
   * The kept data set, or empty where there is none or it is damaged, which is said.
   *
   * @param bad is told of the images that were left out when it was made
   */
  Optional<Dataset> open(BadSamples bad) {
    try {
      CacheFile.Contents contents = map();
      try {
        contents.footer().skipped().forEach(bad::report);
        return Optional.of(dataset(contents));
      } catch (IllegalArgumentException e) {
        contents.arena().close();
        throw new IOException("what it says of itself is wrong", e);
      } catch (UserException e) {
        contents.arena().close();
        throw e;
      }
    } catch (NoSuchFileException e) {
      return Optional.empty();
    } catch (IOException e) {
      options
          .notices()
          .accept("the cache " + path + " is not usable (" + IoReason.of(e) + "); decoding again");
      return Optional.empty();
    }
  }

  /** The data set that was just written. */
  Dataset openWritten() {
    try {
      return dataset(map());
    } catch (IOException e) {
      throw UserException.storage(
          e,
          "The cache %s was written and cannot be read back: %s; check the disk or set"
              + " XDG_CACHE_HOME to another.",
          path,
          IoReason.of(e));
    }
  }

  /** A file to decode into, or empty where the cache cannot take it, which is said. */
  Optional<Writer> create(List<String> classes, int mostTrain, int mostTest) {
    long bytes = ((long) mostTrain + mostTest) * options.shape().bytes();
    try {
      Files.createDirectories(directory);
      removeAbandoned();
      long free = Files.getFileStore(directory).getUsableSpace();
      if (free < bytes + (bytes >> 6)) {
        throw new IOException("only " + free / 1_000_000 + " MB are free");
      }
      return Optional.of(new Writer(classes, mostTrain));
    } catch (IOException e) {
      options
          .notices()
          .accept(
              "the cache "
                  + directory
                  + " cannot be written ("
                  + IoReason.of(e)
                  + "); keeping "
                  + DebianPackageFetcher.megabytes(bytes)
                  + " MB of decoded images in memory instead");
      return Optional.empty();
    }
  }

  // The arena lives as long as the data set, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  private CacheFile.Contents map() throws IOException {
    Arena arena = Arena.ofShared();
    try {
      CacheFile.Contents contents = CacheFile.map(path, arena);
      if (!contents.footer().key().equals(key)) {
        throw new IOException("it belongs to other images");
      }
      if (!contents.footer().shape().equals(options.shape())) {
        throw new IOException("what it says of itself is wrong");
      }
      return contents;
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  private Dataset dataset(CacheFile.Contents contents) {
    CacheFooter footer = contents.footer();
    return new Dataset(
        name,
        contents.train(),
        contents.test(),
        false,
        new Normalisation(footer.mean(), footer.std(), footer.pixels()),
        footer.fingerprint(),
        contents.arena()::close);
  }

  /** Older files of the same folder and size, and what killed processes left behind. */
  private void removeAbandoned() throws IOException {
    for (Path file : Folder.entries(directory)) {
      String entry = file.getFileName().toString();
      if (entry.startsWith(family) && (entry.endsWith(EXTENSION) || isAbandoned(file))) {
        Files.deleteIfExists(file);
      }
    }
  }

  private static boolean isAbandoned(Path file) throws IOException {
    Instant modified = Files.getLastModifiedTime(file).toInstant();
    return modified.isBefore(Instant.now().minus(ABANDONED));
  }

  private static String sha256(String text) {
    return Sha256.hex(text.getBytes(StandardCharsets.UTF_8));
  }

  /** A temporary file that becomes the cache when finished and vanishes when closed before. */
  final class Writer implements Closeable {
    private final List<String> classes;
    private final Path temporary;
    private final FileChannel channel;
    private final long testOffset;

    private Writer(List<String> classes, int mostTrain) throws IOException {
      this.classes = classes;
      temporary = Files.createTempFile(directory, family, ".part");
      channel = FileChannel.open(temporary, StandardOpenOption.READ, StandardOpenOption.WRITE);
      testOffset = CacheFile.PREFIX_BYTES + (long) mostTrain * options.shape().bytes();
    }

    PixelStore train() {
      return PixelStore.in(channel, CacheFile.PREFIX_BYTES);
    }

    PixelStore test() {
      return PixelStore.in(channel, testOffset);
    }

    void finish(int[] trainLabels, int[] testLabels, List<Problem> skipped) throws IOException {
      long labelsOffset = testOffset + (long) testLabels.length * options.shape().bytes();
      write(CacheFile.encode(trainLabels), labelsOffset);
      write(CacheFile.encode(testLabels), labelsOffset + 4L * trainLabels.length);
      long footerOffset = labelsOffset + 4L * (trainLabels.length + testLabels.length);
      try (Arena arena = Arena.ofConfined()) {
        Dataset counted =
            Dataset.of(
                name,
                set("train", arena, CacheFile.PREFIX_BYTES, trainLabels),
                set("test", arena, testOffset, testLabels),
                false,
                arena);
        CacheFooter footer =
            new CacheFooter(
                key,
                options.shape().channels(),
                options.shape().height(),
                options.shape().width(),
                options.shape().pixels(),
                classes,
                CacheFile.PREFIX_BYTES,
                trainLabels.length,
                testOffset,
                testLabels.length,
                labelsOffset,
                counted.normalisation().mean(),
                counted.normalisation().std(),
                counted.fingerprint(),
                skipped);
        byte[] json = CacheFile.encode(footer);
        write(ByteBuffer.wrap(json), footerOffset);
        long end = footerOffset + json.length;
        long crc = Checksums.crc32c(mapped(arena, CacheFile.PREFIX_BYTES, end));
        write(CacheFile.prefix(footerOffset, json.length, crc), 0);
      }
      AtomicFiles.move(temporary, path);
    }

    private ImageSet set(String split, Arena arena, long offset, int[] labels) throws IOException {
      long end = offset + (long) labels.length * options.shape().bytes();
      return ImageSet.of(split, options.shape(), mapped(arena, offset, end), labels, classes);
    }

    private MemorySegment mapped(Arena arena, long from, long to) throws IOException {
      return channel.map(FileChannel.MapMode.READ_ONLY, from, to - from, arena);
    }

    private void write(ByteBuffer buffer, long at) throws IOException {
      while (buffer.hasRemaining()) {
        channel.write(buffer, at + buffer.position());
      }
    }

    @Override
    public void close() throws IOException {
      channel.close();
      Files.deleteIfExists(temporary);
    }
  }
}
