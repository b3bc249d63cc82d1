package io.fbnet.engine.graph;

import java.util.Arrays;

/** Numbers that are part of an operation, such as a latency table. */
public final class Constants {
  private final float[] values;

  private Constants(float[] values) {
    this.values = values;
  }

  /**
   * {@return a copy of the given numbers}
   *
   * @param values one or more numbers, in order
   */
  public static Constants of(float... values) {
    return new Constants(values.clone());
  }

  /** {@return how many there are} */
  public int size() {
    return values.length;
  }

  /**
   * {@return the number at {@code index}}
   *
   * @param index from 0 to below {@link #size}
   */
  public float get(int index) {
    return values[index];
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Constants c && Arrays.equals(values, c.values);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(values);
  }

  @Override
  public String toString() {
    return values.length + " constants";
  }
}
