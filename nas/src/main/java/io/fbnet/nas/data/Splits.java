package io.fbnet.nas.data;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Two disjoint parts of a split's images, each holding every class in the same proportion: the
 * images that train the weights and those that train the architecture.
 */
public final class Splits {
  private final int[] first;
  private final int[] second;

  private Splits(int[] first, int[] second) {
    this.first = first;
    this.second = second;
  }

  /** {@return ascending image numbers of the first part; a copy} */
  public int[] first() {
    return first.clone();
  }

  /** {@return ascending image numbers of the second part; a copy} */
  public int[] second() {
    return second.clone();
  }

  /**
   * Splits a set by label. The parts depend on labels, fraction, seed and limit alone.
   *
   * @param set the images
   * @param fraction the first part's share, between 0 and 1, such as 0.8
   * @param seed what the parts are drawn from
   * @param limit use no more than this many images, drawn class by class; 0 for all
   * @return the parts
   * @throws IllegalArgumentException if the fraction does not lie between 0 and 1
   */
  public static Splits split(ImageSet set, double fraction, long seed, int limit) {
    return split(set.labels(), fraction, seed, limit);
  }

  /**
   * Splits by label.
   *
   * @param labels the class of every image
   */
  static Splits split(int[] labels, double fraction, long seed, int limit) {
    if (!(fraction > 0 && fraction < 1)) {
      throw new IllegalArgumentException("the fraction must lie between 0 and 1: " + fraction);
    }
    int[] all = new int[labels.length];
    Arrays.setAll(all, i -> i);
    int[] used = limit > 0 && limit < all.length ? stratified(labels, all, limit, seed, 1)[0] : all;
    int[][] parts = stratified(labels, used, (int) Math.round(fraction * used.length), seed, 2);
    return new Splits(parts[0], parts[1]);
  }

  /**
   * {@return numbers of images drawn class by class, ascending}
   *
   * @param set the images
   * @param limit how many; 0 for all
   * @param seed what they are drawn from
   */
  public static int[] subset(ImageSet set, int limit, long seed) {
    return subset(set, limit, seed, new int[0]);
  }

  /**
   * {@return the same among the images outside some, ascending}
   *
   * @param set the images
   * @param limit how many; 0 for all
   * @param seed what they are drawn from
   * @param without numbers of images that are never drawn
   */
  public static int[] subset(ImageSet set, int limit, long seed, int[] without) {
    boolean[] out = new boolean[set.size()];
    for (int image : without) {
      out[image] = true;
    }
    int[] all = IntStream.range(0, out.length).filter(i -> !out[i]).toArray();
    return limit > 0 && limit < all.length ? stratified(set.labels(), all, limit, seed, 1)[0] : all;
  }

  /** Draws {@code count} of the images, class by class, and returns the drawn and the rest. */
  private static int[][] stratified(int[] labels, int[] images, int count, long seed, int stream) {
    int classes = Arrays.stream(images).map(i -> labels[i]).max().orElse(-1) + 1;
    int[] sizes = new int[classes];
    for (int image : images) {
      sizes[labels[image]]++;
    }
    int[] quota = quotas(sizes, images.length, count);
    long[] keyed = new long[images.length];
    Philox philox = new Philox(seed);
    for (int i = 0; i < images.length; i++) {
      int word = philox.at(images[i], 0, stream, DrawPurpose.SPLIT).w0;
      keyed[i] = ((long) word << 32) | images[i];
    }
    Arrays.sort(keyed);
    int[] drawn = new int[count];
    int[] rest = new int[images.length - count];
    int d = 0;
    int r = 0;
    for (long key : keyed) {
      int image = (int) key;
      if (quota[labels[image]]-- > 0) {
        drawn[d++] = image;
      } else {
        rest[r++] = image;
      }
    }
    Arrays.sort(drawn);
    Arrays.sort(rest);
    return new int[][] {drawn, rest};
  }

  /** Shares of {@code count} by largest remainder, so that they add up exactly. */
  private static int[] quotas(int[] sizes, int total, int count) {
    int[] quota = new int[sizes.length];
    long[] remainders = new long[sizes.length];
    int given = 0;
    for (int c = 0; c < sizes.length; c++) {
      long exact = (long) sizes[c] * count;
      quota[c] = (int) (exact / total);
      // Larger remainder first, then the lower class number.
      remainders[c] = ((exact % total) << 24) | (0xFFFFFF - c);
      given += quota[c];
    }
    long[] order = remainders.clone();
    Arrays.sort(order);
    for (int i = order.length - 1; given < count; i--) {
      quota[0xFFFFFF - (int) (order[i] & 0xFFFFFF)]++;
      given++;
    }
    return quota;
  }
}
