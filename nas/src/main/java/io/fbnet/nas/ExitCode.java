package io.fbnet.nas;

/** The process exit codes that the command line documents. */
public enum ExitCode {
  OK(0),
  INTERNAL(1),
  USAGE(2),
  DATA_OR_CONFIGURATION(3),
  DEVICE_OR_MEMORY(4),
  STORAGE(5),
  DIVERGED(6),
  INTERRUPTED(130),
  TERMINATED(143);

  private final int code;

  ExitCode(int code) {
    this.code = code;
  }

  /** The number the process exits with. */
  public int code() {
    return code;
  }
}
