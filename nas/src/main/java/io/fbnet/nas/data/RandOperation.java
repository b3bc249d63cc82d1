package io.fbnet.nas.data;

import java.util.List;

/**
 * The operations of RandAugment, with the strengths that torchvision's {@code RandAugment} gives
 * them. A strength goes from 0 to 1; where a direction has a meaning, half of the draws go the
 * other way.
 */
enum RandOperation {
  IDENTITY,
  SHEAR_ROWS,
  SHEAR_COLUMNS,
  MOVE_RIGHT,
  MOVE_DOWN,
  ROTATE,
  BRIGHTNESS,
  SATURATION,
  CONTRAST,
  SHARPNESS,
  POSTERISE,
  SOLARISE,
  STRETCH,
  EQUALISE;

  private static final List<RandOperation> ALL = List.of(values());

  /** The shear at full strength, in pixels a pixel. */
  private static final double MOST_SHEAR = 0.3;

  /** The move at full strength, as a share of a side. */
  private static final double MOST_MOVE = 150.0 / 331;

  private static final double MOST_DEGREES = 30;
  private static final double MOST_FACTOR = 0.9;
  private static final int MOST_BITS = 4;

  /** The operation that a random word draws. */
  static RandOperation drawn(int word) {
    return ALL.get(Philox.below(word, ALL.size()));
  }

  /**
   * Does it.
   *
   * @param strength 0 to 1
   * @param back whether it goes the other way
   */
  void apply(PixelCanvas image, double strength, boolean back) {
    double signed = back ? -strength : strength;
    switch (this) {
      case IDENTITY -> {}
      case SHEAR_ROWS -> image.affine(1, MOST_SHEAR * signed, 0, 1, 0, 0);
      case SHEAR_COLUMNS -> image.affine(1, 0, MOST_SHEAR * signed, 1, 0, 0);
      case MOVE_RIGHT -> image.affine(1, 0, 0, 1, -MOST_MOVE * signed * image.width(), 0);
      case MOVE_DOWN -> image.affine(1, 0, 0, 1, 0, -MOST_MOVE * signed * image.height());
      case ROTATE -> {
        double angle = Math.toRadians(MOST_DEGREES * signed);
        double cos = StrictMath.cos(angle);
        double sin = StrictMath.sin(angle);
        image.affine(cos, sin, -sin, cos, 0, 0);
      }
      case BRIGHTNESS -> image.brightness(1 + MOST_FACTOR * signed);
      case SATURATION -> image.saturation(1 + MOST_FACTOR * signed);
      case CONTRAST -> image.contrast(1 + MOST_FACTOR * signed);
      case SHARPNESS -> image.sharpness(1 + MOST_FACTOR * signed);
      case POSTERISE -> image.posterise(8 - (int) Math.round(MOST_BITS * strength));
      case SOLARISE -> image.solarise(255 * (1 - strength));
      case STRETCH -> image.stretch();
      case EQUALISE -> image.equalise();
    }
  }
}
