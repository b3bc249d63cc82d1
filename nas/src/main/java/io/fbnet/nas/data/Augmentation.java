package io.fbnet.nas.data;

import io.fbnet.nas.UserException;

/**
 * What is done to a training image before it is normalised. All but a padded crop by itself and the
 * flip of images that are not mixed is done by the host while batches are made. Grey images have no
 * saturation to change, and images of other than 1 or 3 channels no colours. The flip comes behind
 * all but the mixture.
 *
 * @param crop which part is seen
 * @param horizontalFlip mirrored left to right with probability one half
 * @param jitter brightness, contrast and saturation are each multiplied by a number from 1 - jitter
 *     to 1 + jitter, in a random order; 0 for none
 * @param randAugment operations of RandAugment
 * @param cutout a square of so many pixels a side, its centre anywhere in the image, becomes the
 *     mean colour of the data (DeVries and Taylor, arXiv 1708.04552); 0 for none
 * @param mixup each image is mixed with the next of its batch, and its loss is that of both labels
 *     in the same shares, drawn from Beta(mixup, mixup) (Zhang et al., arXiv 1710.09412); at most
 *     1, 0 for none
 */
public record Augmentation(
    Crop crop,
    boolean horizontalFlip,
    double jitter,
    RandAugment randAugment,
    int cutout,
    double mixup) {

  /** Which part of an image is seen. */
  public sealed interface Crop {}

  /**
   * The image is framed by black pixels (0 before normalisation) and a window of its own size is
   * cut out anywhere.
   *
   * @param pixels on every side; 0 for the image as it is
   */
  public record Padded(int pixels) implements Crop {
    /**
     * Checks the frame.
     *
     * @throws IllegalArgumentException if it is negative
     */
    public Padded {
      if (pixels < 0) {
        throw new IllegalArgumentException("padding must not be negative: " + pixels);
      }
    }
  }

  /**
   * A rectangle is cut out and brought to the image's size: of an area drawn evenly, sides whose
   * ratio lies from 3/4 to 4/3 and whose logarithm is drawn evenly, and anywhere (Szegedy et al.,
   * arXiv 1409.4842, section 6).
   *
   * @param leastArea share of the image's area, above 0 and at most 1; the paper's is 0.08
   */
  public record Resized(double leastArea) implements Crop {
    /**
     * Checks the area.
     *
     * @throws IllegalArgumentException if it is no share
     */
    public Resized {
      if (!(leastArea > 0 && leastArea <= 1)) {
        throw new IllegalArgumentException("the least area must be a share: " + leastArea);
      }
    }
  }

  /**
   * So many operations, each drawn from the list of {@link RandOperation} (Cubuk et al., arXiv
   * 1909.13719).
   *
   * @param operations 0 for none
   * @param magnitude of each, 0 to 30
   */
  public record RandAugment(int operations, double magnitude) {
    /** The magnitude of the strongest. */
    public static final int MOST = 30;

    /** None. */
    public static final RandAugment NONE = new RandAugment(0, 0);

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if they are out of range
     */
    public RandAugment {
      if (operations < 0 || !(magnitude >= 0 && magnitude <= MOST)) {
        throw new IllegalArgumentException(operations + " operations of magnitude " + magnitude);
      }
    }
  }

  /**
   * Checks the numbers.
   *
   * @throws IllegalArgumentException if one is out of range
   */
  public Augmentation {
    if (!(jitter >= 0 && jitter <= 1) || cutout < 0 || !(mixup >= 0 && mixup <= 1)) {
      throw new IllegalArgumentException(
          "jitter " + jitter + ", cutout " + cutout + ", mixup " + mixup);
    }
  }

  /** {@return no augmentation: images as they are} */
  public static Augmentation none() {
    return of(new Padded(0), false);
  }

  /**
   * {@return random crop after padding, and random flip: the usual one of small images}
   *
   * @param cropPadding black pixels on every side, 0 or more
   */
  public static Augmentation cropAndFlip(int cropPadding) {
    return of(new Padded(cropPadding), true);
  }

  /**
   * {@return a crop and perhaps a flip alone}
   *
   * @param crop which part is seen
   * @param horizontalFlip whether half of the images are mirrored
   */
  public static Augmentation of(Crop crop, boolean horizontalFlip) {
    return new Augmentation(crop, horizontalFlip, 0, RandAugment.NONE, 0, 0);
  }

  /**
   * {@return the same with images mixed}
   *
   * @param strength see {@link #mixup}
   */
  public Augmentation withMixup(double strength) {
    return new Augmentation(crop, horizontalFlip, jitter, randAugment, cutout, strength);
  }

  /**
   * Refuses colours to be changed where there are none.
   *
   * @param shape of the images
   * @throws UserException (exit code 2) that says what is in the way
   */
  public void require(ImageShape shape) {
    boolean colours = jitter > 0 || randAugment.operations() > 0;
    if (colours && (!shape.takesPhotographs() || shape.pixels() != PixelType.U8)) {
      throw UserException.usage(
          "--jitter and --rand-augment change colours of images of 1 or 3 channels of bytes, but"
              + " these are %s: leave them out",
          shape);
    }
  }

  /** Whether the host has to change pixels; else a window says all. */
  boolean changesPixels() {
    return crop instanceof Resized
        || jitter > 0
        || randAugment.operations() > 0
        || cutout > 0
        || mixup > 0;
  }
}
