package io.fbnet.engine.backend;

/** The device has not enough memory for what was asked. */
public final class OutOfDeviceMemory extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Says how many bytes were asked for, on which device, and what the cause said. */
  public OutOfDeviceMemory(long bytes, String device, Throwable cause) {
    super(
        "cannot allocate " + (bytes >> 20) + " MiB on " + device + "; try a smaller --batch",
        cause);
  }
}
