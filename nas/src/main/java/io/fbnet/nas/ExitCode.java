package io.fbnet.nas;

/** The process exit codes that the command line documents. */
public enum ExitCode {
  /** Done. */
  OK(0),
  /** An error of the program itself. */
  INTERNAL(1),
  /** Wrong flags. */
  USAGE(2),
  /** Wrong data, file or configuration. */
  DATA_OR_CONFIGURATION(3),
  /** No such device, or not enough memory. */
  DEVICE_OR_MEMORY(4),
  /** Storage that is full, unwritable or in use. */
  STORAGE(5),
  /** The training diverged: a loss or gradient was no number. */
  DIVERGED(6),
  /** Another process of the same command failed or does not answer. */
  RANKS(7),
  /** Interrupted by SIGINT: 128 + 2. */
  INTERRUPTED(130),
  /** Terminated by SIGTERM: 128 + 15. */
  TERMINATED(143);

  private final int code;

  ExitCode(int code) {
    this.code = code;
  }

  /** {@return the number the process exits with} */
  public int code() {
    return code;
  }
}
