package io.fbnet.nas.train;

import io.fbnet.nas.data.ImageSet;
import io.fbnet.nas.data.Splits;

/**
 * Which training images are set aside. A search divides its images by its own seed; whoever trains
 * what it found divides them by the same numbers, whatever else is drawn from another seed, so that
 * nothing is trained on images that chose it.
 *
 * @param share that is held out, from 0 to below 1
 * @param seed what the images are drawn from
 * @param of how many training images the share is of, drawn class by class; 0 for all
 */
public record HoldOut(double share, long seed, int of) {
  /**
   * {@return the numbers of the images that are trained on, ascending: the other images of the
   * division where as many are wanted as it has, else so many of all that are not held out}
   *
   * @param images the training split
   * @param count with the held out ones, where the division is of so many; else without; 0 for all
   */
  int[] trained(ImageSet images, int count) {
    return share > 0 && count == of
        ? split(images).first()
        : Splits.subset(images, count, seed, heldOut(images));
  }

  /**
   * {@return the numbers of the images that are held out, ascending; none where the share is 0}
   *
   * @param images the training split
   */
  int[] heldOut(ImageSet images) {
    return share == 0 ? new int[0] : split(images).second();
  }

  private Splits split(ImageSet images) {
    return Splits.split(images, 1 - share, seed, of);
  }
}
