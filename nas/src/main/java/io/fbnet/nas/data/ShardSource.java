package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import io.fbnet.nas.file.Sha256;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A folder of tar files that hold images, each with its class's number in a file beside it (the
 * layout of WebDataset): for more images than decoded fit on a machine's disk. They are decoded
 * whenever they are wanted. The first time all are decoded once, to find the bad ones and to count
 * what a data set has to know; that is kept in the user's cache, some bytes an image.
 */
record ShardSource(String name, Path folder) implements ImageSource {
  /** Raise it when decoding or resizing changes, so that older indexes are not taken. */
  private static final int DECODER_VERSION = 1;

  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.empty();
  }

  // Either the data set closes the reader or a failure does.
  @Override
  public Dataset load(DataOptions given, BadSamples bad) {
    ShardListing all = ShardListing.of(folder, given.whole(), given.notices());
    DataOptions options = settled(given, all);
    // Who only tests reads the training images for an index that is there already, else not at all.
    boolean known = !options.whole() || Files.exists(file(all, options));
    ShardListing listing = known ? all : all.forTesting();
    ShardReader reader = new ShardReader(listing.all(), options.shape(), options.threads());
    try {
      ShardIndex index = index(listing, reader, options, bad);
      ShardIndex.Head head = index.head();
      requireFullClasses(index, options);
      return new Dataset(
          name,
          set("train", reader, index, 0, head.train(), options),
          set("test", reader, index, head.train(), index.size(), options),
          false,
          new Normalisation(head.mean(), head.std(), options.shape().pixels()),
          head.fingerprint(),
          reader::close);
    } catch (Throwable t) {
      reader.close();
      throw t;
    }
  }

  @Override
  public void check(DataCheck check) {
    DataOptions given = check.options();
    Optional<ShardListing> found =
        check.attempt(folder.toString(), () -> ShardListing.of(folder, false, given.notices()));
    Optional<DataOptions> settled =
        found.flatMap(all -> check.attempt(folder.toString(), () -> settled(given, all)));
    if (settled.isEmpty()) {
      return;
    }
    ShardListing listing = found.get();
    DataOptions options = settled.get();
    ShardIndexing.Members members =
        (shard, bad) ->
            check.attempt(shard.toString(), () -> ShardMember.of(shard, bad)).orElse(List.of());
    try (ShardReader reader = new ShardReader(listing.all(), options.shape(), options.threads())) {
      Optional<ShardIndex> index =
          check.attempt(
              folder.toString(),
              () ->
                  new ShardIndexing(listing, members, reader, options, check.badSamples()).run(""));
      if (index.isPresent()) {
        int train = index.get().head().train();
        List<String> classes = index.get().head().classes();
        check.count(
            folder.toString(),
            classes,
            Counts.byClass(index.get().labels(0, train), classes.size()),
            Counts.byClass(index.get().labels(train, index.get().size()), classes.size()));
      }
    }
  }

  /**
   * Options that say how pixels are kept: the first image of the first shard that can be listed
   * tells, if it is an array.
   *
   * @throws UserException (exit code 3) where it is a photograph and the space takes other channels
   */
  private static DataOptions settled(DataOptions options, ShardListing listing) {
    for (Path shard : listing.all()) {
      Optional<ShardMember> first = ShardMember.first(shard);
      if (first.isPresent()) {
        boolean array =
            ImageFolderListing.ARRAYS.contains(ImageFolderListing.ending(first.get().name()));
        if (!array && !options.shape().takesPhotographs()) {
          throw UserException.data(
              "%s holds images of 1 or 3 channels, such as %s, but the search space takes %d"
                  + " channels; save so many as .npy arrays or as pages of a TIFF file, or choose a"
                  + " space of 1 or 3.",
              shard, first.get().name(), options.shape().channels());
        }
        boolean deep = array && ShardReader.isDeep(shard, first.get(), options.shape());
        return options.settled(options.pixels().orElse(deep ? PixelType.F32 : PixelType.U8));
      }
    }
    return options.settled(options.pixels().orElse(PixelType.U8));
  }

  private ShardIndex index(
      ShardListing listing, ShardReader reader, DataOptions options, BadSamples bad) {
    String key = key(listing, options);
    Path file = file(listing, options);
    try {
      ShardIndex kept = ShardIndex.read(file, key, listing.sizes());
      bad.expect(kept.size() + kept.head().skipped().size());
      kept.head().skipped().forEach(bad::report);
      return kept;
    } catch (NoSuchFileException e) {
      options.notices().accept("reading " + listing.all().size() + " shards for the first time");
    } catch (IOException e) {
      options
          .notices()
          .accept("the index " + file + " is not usable (" + IoReason.of(e) + "); reading again");
    }
    ShardIndex index = new ShardIndexing(listing, ShardMember::of, reader, options, bad).run(key);
    try {
      index.write(file);
    } catch (IOException e) {
      options
          .notices()
          .accept(
              "the index "
                  + file
                  + " cannot be written ("
                  + IoReason.of(e)
                  + "): the next start reads all images again");
    }
    return index;
  }

  private static String key(ShardListing listing, DataOptions options) {
    return sha256(options.shape() + "\n" + DECODER_VERSION + "\n" + listing.digest());
  }

  /** One for each folder, size of images, and kind of listing. */
  private Path file(ShardListing listing, DataOptions options) {
    String place =
        String.join(
            "\n",
            folder.toAbsolutePath().normalize().toString(),
            options.shape().toString(),
            listing.train().isEmpty() ? "test" : "");
    String kept =
        name.replaceAll("[^A-Za-z0-9._-]", "_") + "-" + sha256(place).substring(0, 12) + ".index";
    return options.cacheDir().resolve("shards").resolve(kept);
  }

  private static String sha256(String text) {
    return Sha256.hex(text.getBytes(StandardCharsets.UTF_8));
  }

  private static ImageSet set(
      String split, ShardReader reader, ShardIndex index, int from, int to, DataOptions options) {
    int[] firsts =
        IntStream.range(from, to)
            .filter(i -> i == from || index.place(i).shard() != index.place(i - 1).shard())
            .map(i -> i - from)
            .toArray();
    ImagePixels pixels = (numbers, images) -> copy(reader, index, from, numbers, images);
    return ImageSet.inShards(
        split, options.shape(), pixels, index.labels(from, to), index.head().classes(), firsts);
  }

  private static void copy(
      ShardReader reader, ShardIndex index, int from, int[] numbers, MemorySegment images) {
    List<ShardReader.Place> places =
        Arrays.stream(numbers).mapToObj(n -> index.place(from + n)).toList();
    reader.decode(
        places,
        new ShardReader.Taker() {
          @Override
          public void take(int number, byte[] pixels) {
            long at = (long) number * pixels.length;
            MemorySegment.copy(pixels, 0, images, ValueLayout.JAVA_BYTE, at, pixels.length);
          }

          @Override
          public void bad(int number, BadImageException e) {
            throw UserException.data(
                "%s was whole when it was read first, and now an image in it %s; put the shard"
                    + " back, or start a new run.",
                reader.shard(places.get(number).shard()), e.getMessage());
          }
        });
  }

  private void requireFullClasses(ShardIndex index, DataOptions options) {
    List<String> classes = index.head().classes();
    int[] counts = Counts.byClass(index.labels(0, index.head().train()), classes.size());
    for (int c = 0; c < counts.length && !options.whole(); c++) {
      if (counts[c] == 0) {
        throw UserException.data(
            "The shards of %s hold no images of class '%s' to train with; number the classes"
                + " without gaps, or take its line out of classes.txt.",
            folder, classes.get(c));
      }
    }
  }
}
