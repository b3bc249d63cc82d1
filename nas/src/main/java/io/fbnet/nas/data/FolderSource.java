package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import io.fbnet.nas.file.IoReason;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A folder of image files and arrays, a class a subfolder, of any sizes. */
record FolderSource(String name, Path folder) implements ImageSource {
  @Override
  public Optional<ImageShape> naturalShape() {
    return Optional.empty();
  }

  @Override
  public Dataset load(DataOptions given, BadSamples bad) {
    ImageFolderListing listing = list(given, given.whole());
    DataOptions options = settled(given, listing);
    if (!options.whole()) {
      requireFullClasses(listing);
    }
    bad.expect(listing.train().size() + listing.test().size());
    DecodedCache cache = new DecodedCache(name, folder, listing.digest(), options);
    Optional<Dataset> kept = cache.open(bad);
    if (kept.isPresent()) {
      return kept.get();
    }
    Optional<DecodedCache.Writer> writer =
        cache.create(listing.classes(), listing.train().size(), listing.test().size());
    if (writer.isEmpty()) {
      return inMemory(listing, options, bad);
    }
    FolderDecoding decoding = decoding(listing, options, bad);
    try (DecodedCache.Writer file = writer.get()) {
      int[] train = decoding.decode(listing.train(), file.train());
      int[] test = decoding.decode(listing.test(), file.test());
      file.finish(train, test, bad.problems());
    } catch (IOException e) {
      throw UserException.storage(
          e,
          "The cache of decoded images in %s cannot be written: %s; free space there or set"
              + " XDG_CACHE_HOME to another disk.",
          options.cacheDir(),
          IoReason.of(e));
    }
    return cache.openWritten();
  }

  @Override
  public void check(DataCheck check) {
    Optional<ImageFolderListing> found =
        check.attempt(folder.toString(), () -> list(check.options(), false));
    if (found.isEmpty()) {
      return;
    }
    ImageFolderListing listing = found.get();
    check.badSamples().expect(listing.train().size() + listing.test().size());
    DataOptions options = settled(check.options(), listing);
    FolderDecoding decoding = decoding(listing, options, check.badSamples());
    try {
      int[] train = decoding.decode(listing.train(), PixelStore.none());
      int[] test = decoding.decode(listing.test(), PixelStore.none());
      int classes = listing.classes().size();
      check.count(
          folder.toString(),
          listing.classes(),
          Counts.byClass(train, classes),
          Counts.byClass(test, classes));
    } catch (IOException e) {
      throw new AssertionError("nothing is stored", e);
    }
  }

  private ImageFolderListing list(DataOptions options, boolean whole) {
    ImageFolderListing listing = ImageFolderListing.of(folder, whole, options.notices());
    listing.requireChannels(options.shape());
    return listing;
  }

  /** Options that say how pixels are kept: of the first array it is told by its numbers. */
  private static DataOptions settled(DataOptions options, ImageFolderListing listing) {
    PixelType kept =
        options
            .pixels()
            .orElseGet(
                () ->
                    listing.firstArray().isPresent()
                            && FolderDecoding.isDeep(listing.firstArray().get(), options.shape())
                        ? PixelType.F32
                        : PixelType.U8);
    return options.settled(kept);
  }

  private static FolderDecoding decoding(
      ImageFolderListing listing, DataOptions options, BadSamples bad) {
    long total = (long) listing.train().size() + listing.test().size();
    options.notices().accept("decoding " + total + " images to " + options.shape());
    return new FolderDecoding(options, bad, total);
  }

  // The arena lives as long as the data set, whose close() closes it.
  @SuppressWarnings("MustBeClosedChecker")
  private Dataset inMemory(ImageFolderListing listing, DataOptions options, BadSamples bad) {
    FolderDecoding decoding = decoding(listing, options, bad);
    Arena arena = Arena.ofShared();
    try {
      ImageSet train = inMemory("train", listing, listing.train(), options, decoding, arena);
      ImageSet test = inMemory("test", listing, listing.test(), options, decoding, arena);
      return Dataset.of(name, train, test, false, arena);
    } catch (IOException e) {
      arena.close();
      throw new AssertionError("memory has no I/O errors", e);
    } catch (Throwable t) {
      arena.close();
      throw t;
    }
  }

  private static ImageSet inMemory(
      String split,
      ImageFolderListing listing,
      List<ImageFolderListing.Entry> entries,
      DataOptions options,
      FolderDecoding decoding,
      Arena arena)
      throws IOException {
    int bytes = options.shape().bytes();
    MemorySegment pixels = arena.allocate((long) entries.size() * bytes);
    int[] labels = decoding.decode(entries, PixelStore.in(pixels));
    return ImageSet.of(
        split,
        options.shape(),
        pixels.asSlice(0, (long) labels.length * bytes),
        labels,
        listing.classes());
  }

  private void requireFullClasses(ImageFolderListing listing) {
    boolean[] full = new boolean[listing.classes().size()];
    listing.train().forEach(entry -> full[entry.label()] = true);
    for (int c = 0; c < full.length; c++) {
      if (!full[c]) {
        throw UserException.data(
            "The class folder '%s' of %s holds no images to train with; add some or remove it.",
            listing.classes().get(c), folder);
      }
    }
  }
}
