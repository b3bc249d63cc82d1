package io.fbnet.nas.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * How many images there are of each class.
 *
 * @param classes names; the label is the position
 * @param images of each class
 */
public record ClassCounts(List<String> classes, List<Integer> images) {
  /** Beyond this ratio the frequent classes decide what is learned. */
  private static final int UNEVEN = 20;

  /**
   * Copies.
   *
   * @throws IllegalArgumentException where there are not as many numbers as classes
   */
  public ClassCounts {
    classes = List.copyOf(classes);
    images = List.copyOf(images);
    if (classes.size() != images.size()) {
      throw new IllegalArgumentException(
          classes.size() + " classes, but numbers of " + images.size());
    }
  }

  /**
   * {@return the counts of some images}
   *
   * @param set the images
   * @param numbers which of them are counted
   * @throws IndexOutOfBoundsException if the set has no image of such a number
   */
  public static ClassCounts of(ImageSet set, int[] numbers) {
    int[] labels = Arrays.stream(numbers).map(set::label).toArray();
    int[] counts = Counts.byClass(labels, set.classes().size());
    return new ClassCounts(set.classes(), Arrays.stream(counts).boxed().toList());
  }

  /**
   * {@return a sentence about training images of which the most frequent class has more than 20
   * times as many as the rarest, and what helps; empty where none has} Classes without images do
   * not count: no flag helps them.
   */
  public Optional<String> unevenness() {
    int most = 0;
    int fewest = -1;
    for (int c = 0; c < images.size(); c++) {
      most = images.get(c) > images.get(most) ? c : most;
      if (images.get(c) > 0 && (fewest < 0 || images.get(c) < images.get(fewest))) {
        fewest = c;
      }
    }
    if (fewest < 0 || images.get(most) <= (long) UNEVEN * images.get(fewest)) {
      return Optional.empty();
    }
    return Optional.of(
        String.format(
            Locale.ROOT,
            "'%s' has %d training images and '%s' %d, fewer by a factor of more than %d, so rare"
                + " classes may hardly be learned: --class-weights balanced has every class count"
                + " as much in the loss, --class-sampling balanced shows every class as often (not"
                + " of shards)",
            classes.get(most),
            images.get(most),
            classes.get(fewest),
            images.get(fewest),
            UNEVEN));
  }

  /** The weight of each class by {@link ClassBalance#WEIGHTS}; 0 of classes without images. */
  float[] weights() {
    double all = images.stream().mapToLong(count -> count).sum();
    int present = present().size();
    float[] weights = new float[images.size()];
    for (int c : present()) {
      weights[c] = (float) (all / ((double) present * images.get(c)));
    }
    return weights;
  }

  /** The classes that have images, ascending. */
  List<Integer> present() {
    List<Integer> present = new ArrayList<>();
    for (int c = 0; c < images.size(); c++) {
      if (images.get(c) > 0) {
        present.add(c);
      }
    }
    return present;
  }
}
