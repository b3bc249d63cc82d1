package io.fbnet.engine.backend;

/**
 * Keeps a back end to the thread that opened it and to the time before it is closed: what its
 * libraries are given after that may end the process.
 */
public final class Confinement {
  private final String name;
  private final Thread owner = Thread.currentThread();
  private boolean closed;

  /**
   * Of a back end that this thread opens.
   *
   * @param name of the back end
   */
  public Confinement(String name) {
    this.name = name;
  }

  /**
   * Refuses another thread.
   *
   * @throws IllegalStateException on another thread than that which opened the back end
   */
  public void requireThread() {
    if (Thread.currentThread() != owner) {
      throw new IllegalStateException(
          "the back end " + name + " is for the thread that opened it, " + owner.getName());
    }
  }

  /**
   * Refuses another thread, and any after the end.
   *
   * @throws IllegalStateException on another thread, or where the back end is closed
   */
  public void require() {
    requireThread();
    if (closed) {
      throw new IllegalStateException("the back end " + name + " is closed");
    }
  }

  /** {@return whether the back end is closed} */
  public boolean isClosed() {
    return closed;
  }

  /**
   * {@return whether the back end was open; from now on it is not}
   *
   * @throws IllegalStateException on another thread
   */
  public boolean close() {
    requireThread();
    boolean open = !closed;
    closed = true;
    return open;
  }
}
