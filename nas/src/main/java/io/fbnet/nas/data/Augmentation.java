package io.fbnet.nas.data;

/**
 * What is done to a training image, by the device that trains, before it is normalised.
 *
 * @param cropPadding the image is framed by this many black pixels (0 before normalisation) and a
 *     window of its own size is cut out at random; 0 for none
 * @param horizontalFlip mirrored left to right with probability one half
 */
public record Augmentation(int cropPadding, boolean horizontalFlip) {
  /**
   * Checks the padding.
   *
   * @throws IllegalArgumentException if it is negative
   */
  public Augmentation {
    if (cropPadding < 0) {
      throw new IllegalArgumentException("padding must not be negative: " + cropPadding);
    }
  }

  /** {@return no augmentation: images as they are} */
  public static Augmentation none() {
    return new Augmentation(0, false);
  }

  /**
   * {@return random crop after padding, and random flip: the usual training augmentation}
   *
   * @param cropPadding black pixels on every side, 0 or more
   */
  public static Augmentation cropAndFlip(int cropPadding) {
    return new Augmentation(cropPadding, true);
  }

  boolean changesImages() {
    return cropPadding > 0 || horizontalFlip;
  }
}
