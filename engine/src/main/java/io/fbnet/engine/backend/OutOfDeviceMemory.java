package io.fbnet.engine.backend;

import java.util.Locale;

/** The device has not enough memory for what was asked. */
public final class OutOfDeviceMemory extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String device;
  private final long asked;
  private final long free;

  /** Whether the plan of a step says nothing of it. */
  private final boolean apart;

  /**
   * Says how much was asked for.
   *
   * @param asked bytes of the allocation that failed, 0 where the device did not say
   * @param free bytes that were free, -1 where nobody knows
   * @param device whose memory it is, for a person
   * @param cause what the device or the library reported
   */
  public OutOfDeviceMemory(long asked, long free, String device, Throwable cause) {
    this(
        what(asked, device) + left(free) + "; free some of it, or choose a smaller batch",
        asked,
        free,
        device,
        false,
        cause);
  }

  private OutOfDeviceMemory(
      String message, long asked, long free, String device, boolean apart, Throwable cause) {
    super(message, cause);
    this.device = device;
    this.asked = asked;
    this.free = free;
    this.apart = apart;
  }

  /**
   * {@return that the host has no more page-locked memory}
   *
   * @param asked bytes of the allocation that failed, 0 where nobody knows
   * @param cause what the driver reported
   */
  public static OutOfDeviceMemory pageLocked(long asked, Throwable cause) {
    String host = "the host (page-locked memory)";
    return new OutOfDeviceMemory(
        what(asked, host)
            + ": free some of it, raise the limit of locked memory (ulimit -l), or choose a smaller"
            + " batch",
        asked,
        -1,
        host,
        true,
        cause);
  }

  /**
   * {@return the same with what a step plans to use, and this as its cause; this itself where the
   * parameters or the host's memory did not fit, of which that plan says nothing}
   *
   * @param planned bytes of the whole step
   * @param held bytes of them that the step had already got
   * @param batch images of the step, 0 where it has none
   */
  public OutOfDeviceMemory during(long planned, long held, int batch) {
    if (apart) {
      return this;
    }
    String words = what(asked, device) + ": the step plans " + mib(planned) + left(free);
    if (planned <= free + held) {
      words += ", so something else took memory meanwhile: free it, or choose a smaller batch";
    } else if (batch > 0 && free >= 0) {
      long fits = (long) (batch * Math.min(1, (double) (free + held) / Math.max(1, planned)));
      // The failed step itself never fits, whatever the estimate says.
      fits = Math.min(fits, batch - 1);
      words +=
          fits > 0
              ? "; a batch of about " + fits + " would fit instead of " + batch
              : "; not even a batch of 1 would fit";
    } else {
      words += "; choose a smaller batch";
    }
    return new OutOfDeviceMemory(words, asked, free, device, false, this);
  }

  /**
   * {@return the same for the parameters, which take what they take at every batch}
   *
   * @param planned bytes of values and gradients
   */
  public OutOfDeviceMemory forParameters(long planned) {
    return new OutOfDeviceMemory(
        String.format(
            Locale.ROOT,
            "%s: parameters and their gradients plan %s whatever the batch%s; free some of it",
            what(asked, device),
            mib(planned),
            left(free)),
        asked,
        free,
        device,
        true,
        this);
  }

  private static String what(long asked, String device) {
    return asked > 0
        ? "cannot allocate " + Math.ceilDiv(asked, 1L << 20) + " MiB on " + device
        : "out of memory on " + device;
  }

  private static String left(long free) {
    return free < 0 ? "" : ", and " + mib(free) + " are free";
  }

  private static String mib(long bytes) {
    return (bytes >> 20) + " MiB";
  }
}
