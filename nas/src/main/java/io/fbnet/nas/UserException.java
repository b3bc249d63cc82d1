package io.fbnet.nas;

import com.google.errorprone.annotations.FormatMethod;
import java.util.Locale;

/**
 * Something the user can put right. The message is one clear sentence that names the file, line or
 * flag and the remedy; it is printed without a stack trace.
 */
public final class UserException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ExitCode exitCode;

  public UserException(ExitCode exitCode, String message) {
    super(message);
    this.exitCode = exitCode;
  }

  public UserException(ExitCode exitCode, String message, Throwable cause) {
    super(message, cause);
    this.exitCode = exitCode;
  }

  /** What the process exits with when this reaches the command line. */
  public ExitCode exitCode() {
    return exitCode;
  }

  /** A wrong file, image, table or configuration: exit code 3. */
  @FormatMethod
  public static UserException data(String format, Object... arguments) {
    return new UserException(
        ExitCode.DATA_OR_CONFIGURATION, String.format(Locale.ROOT, format, arguments));
  }

  /** A wrong flag: exit code 2. */
  @FormatMethod
  public static UserException usage(String format, Object... arguments) {
    return new UserException(ExitCode.USAGE, String.format(Locale.ROOT, format, arguments));
  }

  /** A full or unwritable disk: exit code 5. */
  @FormatMethod
  public static UserException storage(Throwable cause, String format, Object... arguments) {
    return new UserException(
        ExitCode.STORAGE, String.format(Locale.ROOT, format, arguments), cause);
  }
}
