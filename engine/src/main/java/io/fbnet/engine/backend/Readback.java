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
}
