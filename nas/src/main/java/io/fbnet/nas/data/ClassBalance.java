package io.fbnet.nas.data;

import io.fbnet.nas.UserException;

/** What is done where some classes have many training images and others few. */
public enum ClassBalance {
  /** Nothing: every image counts as much, and is seen once an epoch. */
  NONE,
  /**
   * Each image's loss is multiplied by n / (classes * n_c), for n images of so many classes, n_c of
   * them of its own: each class counts as much, and the mean weight is 1.
   */
  WEIGHTS,
  /** An epoch has as many images of each class: those of rare ones several times. */
  SAMPLING;

  /**
   * Refuses images that cannot be drawn so.
   *
   * @param images that are trained on
   * @throws UserException (exit code 2) where they lie in shards, which are read one after another
   */
  public void require(ImageSet images) {
    if (this == SAMPLING && images.shards().length > 0) {
      throw UserException.usage(
          "--class-sampling balanced takes images from anywhere at any time, and these lie in"
              + " shards, which are read one after another: take --class-weights balanced instead,"
              + " or give the images as folders");
    }
  }
}
