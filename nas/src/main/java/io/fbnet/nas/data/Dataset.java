package io.fbnet.nas.data;

import io.fbnet.nas.file.Sha256;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;

/**
 * A training and a test split of the same classes and image size, with what a run's record needs to
 * name them. Closing it frees the pixels of both splits: close every loader first.
 */
public final class Dataset implements AutoCloseable {
  private final String name;
  private final ImageSet train;
  private final ImageSet test;
  private final boolean generated;
  private final Normalisation normalisation;
  private final String fingerprint;
  private final Runnable release;
  private boolean closed;

  Dataset(
      String name,
      ImageSet train,
      ImageSet test,
      boolean generated,
      Normalisation normalisation,
      String fingerprint,
      Runnable release) {
    this.name = name;
    this.train = train;
    this.test = test;
    this.generated = generated;
    this.normalisation = normalisation;
    this.fingerprint = fingerprint;
    this.release = release;
  }

  /**
   * Counts mean, standard deviation and fingerprint of two splits.
   *
   * @param name what the user calls it
   * @param train the training split
   * @param test the test split, of the same classes and image size
   * @param generated true where the images were drawn by the program, not photographed
   * @param arena what holds the pixels; closed with the data set
   * @return the data set
   */
  public static Dataset of(
      String name, ImageSet train, ImageSet test, boolean generated, Arena arena) {
    return new Dataset(
        name,
        train,
        test,
        generated,
        ChannelStatistics.of(train),
        fingerprint(train, test),
        arena::close);
  }

  /** {@return what the user called it: {@code fashion-mnist}, {@code shapes} or a folder's name} */
  public String name() {
    return name;
  }

  /** {@return the training split} */
  public ImageSet train() {
    return train;
  }

  /** {@return the test split, read by evaluation only} */
  public ImageSet test() {
    return test;
  }

  /** {@return class names; the label is the position} */
  public List<String> classes() {
    return train.classes();
  }

  /** {@return true where the images were drawn by the program} */
  public boolean generated() {
    return generated;
  }

  /**
   * {@return the training split's mean and standard deviation of each channel, on the scale 0 to 1}
   */
  public Normalisation normalisation() {
    return normalisation;
  }

  /**
   * {@return SHA-256 of shape, class names, labels and pixels of both splits, as {@code sha256:}
   * and 64 hex digits} Equal content has an equal fingerprint wherever it lies and whatever its
   * file format; images in shards have one of their own, which also knows where shards end.
   */
  public String fingerprint() {
    return fingerprint;
  }

  /** Frees the pixels; a second call does nothing. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      release.run();
    }
  }

  static String fingerprint(ImageSet train, ImageSet test) {
    MessageDigest digest = Sha256.digest();
    for (ImageSet set : List.of(train, test)) {
      String head =
          set.shape() + "\n" + set.size() + "\n" + String.join("\n", set.classes()) + "\n";
      digest.update(head.getBytes(StandardCharsets.UTF_8));
      digest.update(CacheFile.encode(set.labels()));
      int bytes = set.shape().bytes();
      PixelBlocks.forEach(set, (images, count) -> digest.update(images, 0, count * bytes));
    }
    return "sha256:" + HexFormat.of().formatHex(digest.digest());
  }
}
