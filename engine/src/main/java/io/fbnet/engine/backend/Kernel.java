package io.fbnet.engine.backend;

/**
 * One operation, ready to run on fixed memory. Everything slow happened when it was prepared; a
 * launch allocates nothing.
 */
@FunctionalInterface
public interface Kernel extends AutoCloseable {
  /** Runs, or enqueues, the operation. */
  void launch();

  @Override
  default void close() {}
}
