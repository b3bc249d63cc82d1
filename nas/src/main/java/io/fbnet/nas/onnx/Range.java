package io.fbnet.nas.onnx;

/**
 * What eight bits stand for: 256 equal steps from {@code low} to {@code high}, of which one is 0
 * itself, so that padding is exact.
 *
 * @param low at most 0
 * @param high at least 0
 */
public record Range(float low, float high) {
  private static final int STEPS = 255;

  /**
   * Checks the ends.
   *
   * @throws IllegalArgumentException if 0 lies outside, or an end is no number
   */
  public Range {
    if (!(low <= 0 && high >= 0 && Float.isFinite(high - low))) {
      throw new IllegalArgumentException("no range around 0: " + low + " to " + high);
    }
  }

  /** {@return the length of a step; of a range of nothing but 0 it is 1} */
  public float scale() {
    float step = (high - low) / STEPS;
    return step >= Float.MIN_NORMAL ? step : 1;
  }

  /** {@return the number, 0 to 255, that stands for 0} */
  public int zeroPoint() {
    return (int) Math.clamp(Math.rint(-low / (double) scale()), 0, STEPS);
  }
}
