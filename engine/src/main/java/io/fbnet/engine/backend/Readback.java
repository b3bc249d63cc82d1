package io.fbnet.engine.backend;

/** Values on their way to the host: what they held when the copy was asked for. */
@FunctionalInterface
public interface Readback {
  /**
   * Waits for the copy.
   *
   * @return the elements of each value, row-major, in the order in which they were asked for; a
   *     second call may fail
   */
  float[][] await();

  /** {@return whether it is known that {@link #await} need not wait} */
  default boolean arrived() {
    return false;
  }

  /**
   * {@return values that are on the host already}
   *
   * @param values the elements of each
   */
  static Readback of(float[][] values) {
    return new Readback() {
      @Override
      public float[][] await() {
        return values;
      }

      @Override
      public boolean arrived() {
        return true;
      }
    };
  }
}
