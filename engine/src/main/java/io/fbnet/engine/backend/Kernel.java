package io.fbnet.engine.backend;

/**
 * One operation, ready to run on fixed memory. Everything slow happened when it was prepared; a
 * launch allocates nothing.
 */
@FunctionalInterface
public interface Kernel extends AutoCloseable {
  /** Runs, or enqueues, the operation. */
  void launch();

  /**
   * {@return whether the host does part of it in the middle of a step, so that a device cannot
   * carry it out as part of a whole}
   */
  default boolean needsHost() {
    return false;
  }

  @Override
  default void close() {}
}
