package io.fbnet.engine.graph;

import java.util.Arrays;

/** The static dimensions of a value, outermost first; images are batch, channels, height, width. */
public final class Shape {
  private final int[] dimensions;

  private Shape(int[] dimensions) {
    this.dimensions = dimensions;
  }

  /**
   * {@return a shape of the given dimensions}
   *
   * @param dimensions outermost first, from 1 up
   * @throws IllegalArgumentException where one is below 1
   */
  public static Shape of(int... dimensions) {
    for (int d : dimensions) {
      if (d < 1) {
        throw new IllegalArgumentException("a dimension below 1 in " + Arrays.toString(dimensions));
      }
    }
    return new Shape(dimensions.clone());
  }

  /** {@return the number of dimensions} */
  public int rank() {
    return dimensions.length;
  }

  /**
   * {@return the size of one dimension}
   *
   * @param axis from 0, the outermost, to below {@link #rank}
   */
  public int get(int axis) {
    return dimensions[axis];
  }

  /** {@return the number of elements} */
  public long elements() {
    long n = 1;
    for (int d : dimensions) {
      n *= d;
    }
    return n;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Shape s && Arrays.equals(dimensions, s.dimensions);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(dimensions);
  }

  @Override
  public String toString() {
    return Arrays.toString(dimensions);
  }
}
