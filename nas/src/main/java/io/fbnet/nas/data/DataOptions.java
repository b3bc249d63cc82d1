package io.fbnet.nas.data;

import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * What to load and how; begin with {@link #of} and change what differs.
 *
 * @param data the name {@code fashion-mnist}, "shapes" for the generated set, or the path of a
 *     folder
 * @param dataDir where Fashion-MNIST's files are looked for first, and where a relative {@code
 *     data} is looked for second
 * @param shape the size that the search space takes
 * @param pixels how pixels are kept; empty for bytes, but floats where the first array of a folder
 *     has more than eight bits
 * @param threads how many threads decode an image folder
 * @param seed what generated images are drawn from
 * @param offline true: nothing is fetched
 * @param badSamples what to do about images that cannot be read
 * @param cacheDir where fetched files and decoded images are kept
 * @param whole true: only the test split is wanted, and a folder that is not divided is all of it
 * @param notices takes one line at a time: what is fetched, decoded, left out or done instead;
 *     progress is told from decoding threads
 */
public record DataOptions(
    String data,
    Optional<Path> dataDir,
    ImageShape shape,
    Optional<PixelType> pixels,
    int threads,
    long seed,
    boolean offline,
    BadSamplePolicy badSamples,
    Path cacheDir,
    boolean whole,
    Consumer<String> notices) {
  /**
   * Checks the threads.
   *
   * @throws IllegalArgumentException if there is not one at least
   */
  public DataOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("one thread or more");
    }
  }

  /**
   * {@return options with every processor, seed 0, fetching allowed, the first bad image failing,
   * the user's cache, and notices dropped}
   *
   * @param data the name {@code fashion-mnist}, "shapes" for the generated set, or the path of a
   *     folder
   * @param shape the size that the search space takes
   */
  public static DataOptions of(String data, ImageShape shape) {
    return new DataOptions(
        data,
        Optional.empty(),
        shape,
        Optional.empty(),
        Runtime.getRuntime().availableProcessors(),
        0,
        false,
        BadSamplePolicy.fail(),
        CacheDirectory.ofUser(System.getenv()),
        false,
        line -> {});
  }

  /**
   * {@return these options with another data folder}
   *
   * @param dir where Fashion-MNIST's files and relative paths are looked for
   */
  public DataOptions withDataDir(Path dir) {
    return new DataOptions(
        data,
        Optional.of(dir),
        shape,
        pixels,
        threads,
        seed,
        offline,
        badSamples,
        cacheDir,
        whole,
        notices);
  }

  /**
   * {@return these options by another number of threads}
   *
   * @param count 1 or more
   * @throws IllegalArgumentException if there is not one at least
   */
  public DataOptions withThreads(int count) {
    return new DataOptions(
        data, dataDir, shape, pixels, count, seed, offline, badSamples, cacheDir, whole, notices);
  }

  /**
   * {@return these options with another seed}
   *
   * @param drawSeed what generated images are drawn from
   */
  public DataOptions withSeed(long drawSeed) {
    return new DataOptions(
        data,
        dataDir,
        shape,
        pixels,
        threads,
        drawSeed,
        offline,
        badSamples,
        cacheDir,
        whole,
        notices);
  }

  /**
   * {@return these options with or without fetching}
   *
   * @param on true: nothing is fetched
   */
  public DataOptions withOffline(boolean on) {
    return new DataOptions(
        data, dataDir, shape, pixels, threads, seed, on, badSamples, cacheDir, whole, notices);
  }

  /**
   * {@return these options with another policy on bad images}
   *
   * @param policy what to do about images that cannot be read
   */
  public DataOptions withBadSamples(BadSamplePolicy policy) {
    return new DataOptions(
        data, dataDir, shape, pixels, threads, seed, offline, policy, cacheDir, whole, notices);
  }

  /**
   * {@return these options with another cache}
   *
   * @param dir where fetched files and decoded images are kept
   */
  public DataOptions withCacheDir(Path dir) {
    return new DataOptions(
        data, dataDir, shape, pixels, threads, seed, offline, badSamples, dir, whole, notices);
  }

  /**
   * {@return these options with notices that go elsewhere}
   *
   * @param sink takes one line at a time, from decoding threads too
   */
  public DataOptions withNotices(Consumer<String> sink) {
    return new DataOptions(
        data, dataDir, shape, pixels, threads, seed, offline, badSamples, cacheDir, whole, sink);
  }

  /**
   * {@return these options with pixels that are kept so in any case}
   *
   * @param kept how
   */
  public DataOptions withPixels(PixelType kept) {
    return with(shape, Optional.of(kept));
  }

  /** These options where it is settled how pixels are kept. */
  DataOptions settled(PixelType kept) {
    return with(shape.with(kept), Optional.of(kept));
  }

  private DataOptions with(ImageShape size, Optional<PixelType> kept) {
    return new DataOptions(
        data, dataDir, size, kept, threads, seed, offline, badSamples, cacheDir, whole, notices);
  }

  /** {@return these options where only the test split is wanted} */
  public DataOptions withWhole() {
    return new DataOptions(
        data, dataDir, shape, pixels, threads, seed, offline, badSamples, cacheDir, true, notices);
  }
}
