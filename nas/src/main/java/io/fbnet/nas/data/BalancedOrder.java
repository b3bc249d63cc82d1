package io.fbnet.nas.data;

import java.util.Arrays;
import java.util.List;

/**
 * The order of an epoch that has as many images of each class: an equal share of its places, to one
 * place, goes to each class that has images, and each image of a class takes as many of the class's
 * places as any other, to one. Which classes and images take one more is drawn anew each epoch.
 */
final class BalancedOrder {
  private final ImageSet set;
  private final int[] images;
  private final ClassCounts counts;

  /** Of these images, each of which an unbalanced epoch has once. */
  BalancedOrder(ImageSet set, int[] images) {
    this.set = set;
    this.images = images;
    counts = ClassCounts.of(set, images);
  }

  /**
   * The images before they are shuffled, class by class: an image's number, and above its 32 bits
   * how many times the epoch has had it before.
   */
  long[] drawn(Philox philox, int stream, int epoch) {
    int[][] byClass = permuted(philox, stream, epoch);
    int[] quotas = quotas(philox, stream, epoch);
    long[] drawn = new long[images.length];
    int at = 0;
    for (int c = 0; c < quotas.length; c++) {
      int[] own = byClass[c];
      for (int i = 0; i < quotas[c]; i++) {
        drawn[at++] = ((long) (i / own.length) << 32) | own[i % own.length];
      }
    }
    return drawn;
  }

  /** How many places each class has. */
  private int[] quotas(Philox philox, int stream, int epoch) {
    List<Integer> present = counts.present();
    long[] keyed = new long[present.size()];
    for (int i = 0; i < keyed.length; i++) {
      int c = present.get(i);
      keyed[i] = keyed(philox.at(c, epoch, stream, DrawPurpose.CLASS_ORDER).w0, c);
    }
    Arrays.sort(keyed);
    int[] quotas = new int[counts.images().size()];
    for (int i = 0; i < keyed.length; i++) {
      int one = i < images.length % keyed.length ? 1 : 0;
      quotas[(int) keyed[i]] = images.length / keyed.length + one;
    }
    return quotas;
  }

  /** The images of each class in the order of their draws. */
  private int[][] permuted(Philox philox, int stream, int epoch) {
    long[] keyed = new long[images.length];
    for (int i = 0; i < keyed.length; i++) {
      int word = philox.at(images[i], epoch, stream, DrawPurpose.ORDER_IN_CLASS).w0;
      keyed[i] = keyed(word, images[i]);
    }
    Arrays.sort(keyed);
    int[][] byClass = new int[counts.images().size()][];
    Arrays.setAll(byClass, c -> new int[counts.images().get(c)]);
    int[] filled = new int[byClass.length];
    for (long key : keyed) {
      int image = (int) key;
      int label = set.label(image);
      byClass[label][filled[label]++] = image;
    }
    return byClass;
  }

  private static long keyed(int word, int number) {
    return ((long) word << 32) | number;
  }
}
