package io.fbnet.nas.data;

import io.fbnet.nas.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/** Turns {@code --data} and {@code --data-dir} into a data set. */
public final class DataSource {
  /** What {@code --data} takes beside folders. */
  public static final Set<String> NAMES = Set.of(FashionMnistSource.NAME, ShapesSource.NAME);

  private DataSource() {}

  /**
   * Finds, reads, checks and, for image folders, decodes or takes from the cache.
   *
   * @param options what to load and how
   * @return the data set; the caller closes it
   * @throws UserException (exit code 3) where the data is missing, wrong or of another size, (exit
   *     code 4) where there is no memory, (exit code 5) where the disk is full
   */
  public static Dataset open(DataOptions options) {
    ImageSource source = resolve(options);
    requireHeld(source, options);
    BadSamples bad = new BadSamples(options.badSamples());
    Dataset dataset = source.load(options, bad);
    try {
      if (!options.whole()) {
        requireImages(options, dataset.train());
      }
      requireImages(options, dataset.test());
    } catch (UserException e) {
      dataset.close();
      throw e;
    }
    bad.tell(options.notices());
    return dataset;
  }

  /**
   * {@return the size of a data set's images where all are of one, to choose a search space by;
   * empty for image folders and {@code shapes}, which fit any} Fetches nothing.
   *
   * @param options what to look at; its size does not matter
   * @throws UserException (exit code 3) where there is no such data set
   */
  public static Optional<ImageShape> naturalShape(DataOptions options) {
    return resolve(options).naturalShape();
  }

  /** Refuses floats, and other channels than 1 or 3, where there are none. */
  static void requireHeld(ImageSource source, DataOptions options) {
    boolean files = source instanceof FolderSource || source instanceof ShardSource;
    if (options.pixels().equals(Optional.of(PixelType.F32)) && !files) {
      throw UserException.data(
          "%s holds images of 8 bits; --pixels f32 is for folders and shards of files of more.",
          options.data());
    }
    if (!files && !options.shape().takesPhotographs()) {
      throw UserException.data(
          "%s holds images of 1 or 3 channels, but the search space takes %d; name a folder of .npy"
              + " or TIFF files with --data, or choose a space of 1 or 3.",
          options.data(), options.shape().channels());
    }
  }

  /** Finds out what {@code --data} names, without reading images. */
  static ImageSource resolve(DataOptions options) {
    return switch (options.data()) {
      case FashionMnistSource.NAME -> new FashionMnistSource(FashionMnistFiles.of(options));
      case ShapesSource.NAME -> new ShapesSource();
      default -> detect(folder(options));
    };
  }

  private static Path folder(DataOptions options) {
    Path given = Path.of(options.data());
    Optional<Path> found =
        Stream.concat(Stream.of(given), options.dataDir().map(dir -> dir.resolve(given)).stream())
            .filter(Files::exists)
            .findFirst();
    Path path =
        found.orElseThrow(
            () ->
                UserException.data(
                    "There is no folder '%s'%s; --data takes fashion-mnist, shapes, or a folder of"
                        + " IDX files, CIFAR binary files, images or shards (tar files of images).",
                    given, options.dataDir().map(dir -> ", here or in " + dir).orElse("")));
    if (!Files.isDirectory(path)) {
      throw UserException.data(
          "%s is a file; unpack it and give --data the folder that it unpacks to.", path);
    }
    return path;
  }

  private static ImageSource detect(Path folder) {
    Path named = folder.toAbsolutePath().normalize();
    String name = named.getFileName() == null ? "data" : named.getFileName().toString();
    for (Path place : new Path[] {folder, folder.resolve("raw")}) {
      if (IdxSource.isAt(place)) {
        return new IdxSource(name, place);
      }
    }
    Optional<CifarSource> cifar = CifarSource.at(name, folder);
    if (cifar.isPresent()) {
      return cifar.get();
    }
    return ShardListing.isAt(folder)
        ? new ShardSource(name, folder)
        : new FolderSource(name, folder);
  }

  private static void requireImages(DataOptions options, ImageSet set) {
    if (set.size() == 0) {
      throw UserException.data(
          "%s holds no usable %s images; 'data check' says what is wrong.",
          options.data(), set.name());
    }
  }
}
