package io.fbnet.engine.backend;

import java.util.Locale;

/** The device, or a library on it, reported an error that is not a lack of memory. */
public final class DeviceFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final boolean lost;

  /**
   * Says what failed where.
   *
   * @param device its name, for a person
   * @param lost whether the device is of no more use to this process
   * @param cause what the device or the library reported
   */
  public DeviceFailure(String device, boolean lost, Throwable cause) {
    super(
        lost
            ? String.format(
                Locale.ROOT,
                "the device %s is lost to this process (%s); what was saved is good, start again"
                    + " from it",
                device,
                cause.getMessage())
            : String.format(Locale.ROOT, "the device %s failed: %s", device, cause.getMessage()),
        cause);
    this.lost = lost;
  }

  /** {@return whether the device is of no more use to this process} */
  public boolean lost() {
    return lost;
  }
}
