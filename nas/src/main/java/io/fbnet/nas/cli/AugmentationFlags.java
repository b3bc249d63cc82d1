package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.data.Augmentation;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.ImageShape;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/** How training images are augmented. */
final class AugmentationFlags {
  /** From so many pixels a side up a crop is resized unless something else is asked for. */
  private static final int RESIZED_FROM = 96;

  private static final int PADDING = 2;
  private static final double LEAST_AREA = 0.08;
  private static final int MOST_OPERATIONS = 14;

  private static final List<String> DIGITS =
      IntStream.range(0, 10).mapToObj(Integer::toString).toList();

  /** Which part of an image is seen. */
  enum Crop {
    PADDED,
    RESIZED
  }

  @Option(
      names = "--crop",
      paramLabel = "padded|resized",
      description =
          "padded: a window of the image's size, moved; resized: a part of the image, brought to"
              + " its size. Default: resized from images of 96 pixels a side up, else padded.")
  Crop crop;

  @Option(
      names = "--crop-padding",
      paramLabel = "PIXELS",
      description = "Black pixels around an image before a padded crop. Default: 2.")
  Integer cropPadding;

  @Option(
      names = "--crop-area",
      paramLabel = "SHARE",
      description = "The least share of an image's area that a resized crop shows. Default: 0.08.")
  Double cropArea;

  @Option(
      names = "--flip",
      negatable = true,
      fallbackValue = "true",
      description = "Mirrors half of the training images. Default: on, but not for the ten digits.")
  Boolean flip;

  @Option(
      names = "--jitter",
      paramLabel = "SHARE",
      description =
          "Brightness, contrast and saturation change by up to this share, such as 0.4. Default:"
              + " 0.")
  Double jitter;

  @Option(
      names = "--rand-augment",
      paramLabel = "N,M",
      description =
          "RandAugment: N operations of magnitude M, 0 to 30, such as 2,9. Default: none.")
  String randAugment;

  @Option(
      names = "--cutout",
      paramLabel = "PIXELS",
      description = "The side of a square of the mean colour on each image. Default: 0, none.")
  Integer cutout;

  /** Refuses what no images could be augmented by. */
  void check() {
    if (crop == Crop.RESIZED && cropPadding != null) {
      throw UserException.usage("--crop-padding needs --crop padded");
    }
    if (cropArea != null && (crop == Crop.PADDED || cropPadding != null)) {
      throw UserException.usage("--crop-area needs --crop resized, without --crop-padding");
    }
    if (cropPadding != null) {
      Ranges.cropPadding(cropPadding);
    }
    if (cropArea != null && !(cropArea > 0 && cropArea <= 1)) {
      throw UserException.usage(
          "--crop-area must be a share above 0 and at most 1, but is %s", cropArea);
    }
    if (jitter != null && !(jitter >= 0 && jitter <= 1)) {
      throw UserException.usage("--jitter must lie from 0 to 1, but is %s", jitter);
    }
    if (cutout != null) {
      Ranges.atLeast("--cutout", cutout, 0);
    }
    var _ = operations();
  }

  /**
   * Fills in what was not given and depends on the images.
   *
   * @param notes told where images are not mirrored because of what they show
   */
  void resolve(Dataset data, Consumer<String> notes) {
    ImageShape shape = data.train().shape();
    boolean large = Math.min(shape.height(), shape.width()) >= RESIZED_FROM;
    if (crop == null && (cropArea != null || large && cropPadding == null)) {
      crop = Crop.RESIZED;
    }
    if (crop == Crop.RESIZED) {
      cropArea = cropArea == null ? (Double) LEAST_AREA : cropArea;
    } else {
      cropPadding = cropPadding == null ? (Integer) PADDING : cropPadding;
    }
    if (flip == null) {
      flip = !data.train().classes().equals(DIGITS);
      if (!flip) {
        notes.accept("the classes are the ten digits, so no image is mirrored unless by --flip");
      }
    }
    augmentation().require(shape);
  }

  /** What the flags say. */
  Augmentation augmentation() {
    return new Augmentation(
        crop == Crop.RESIZED || cropArea != null
            ? new Augmentation.Resized(cropArea == null ? LEAST_AREA : cropArea)
            : new Augmentation.Padded(cropPadding == null ? PADDING : cropPadding),
        flip == null || flip,
        jitter == null ? 0 : jitter,
        operations(),
        cutout == null ? 0 : cutout,
        0);
  }

  private Augmentation.RandAugment operations() {
    if (randAugment == null) {
      return Augmentation.RandAugment.NONE;
    }
    String[] numbers = randAugment.split(",", -1);
    try {
      int operations = Integer.parseInt(numbers[0].strip());
      double magnitude = Double.parseDouble(numbers[numbers.length - 1].strip());
      if (numbers.length == 2
          && operations >= 0
          && operations <= MOST_OPERATIONS
          && magnitude >= 0
          && magnitude <= Augmentation.RandAugment.MOST) {
        return new Augmentation.RandAugment(operations, magnitude);
      }
    } catch (NumberFormatException e) {
      // The same sentence as for numbers that are too large.
    }
    throw UserException.usage(
        "--rand-augment must be the number of operations, up to %d, and their magnitude, from 0 to"
            + " %d, such as 2,9, but is %s",
        MOST_OPERATIONS, Augmentation.RandAugment.MOST, randAugment);
  }

  /** The flags that have a value, as lines of a configuration. */
  String text() {
    return ConfigFile.resolved(CommandSpec.forAnnotatedObject(this), List.of());
  }
}
