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

  /**
   * An exception without a cause.
   *
   * @param exitCode what the process exits with
   * @param message one sentence to show
   */
  public UserException(ExitCode exitCode, String message) {
    super(message);
    this.exitCode = exitCode;
  }

  /**
   * An exception with a cause.
   *
   * @param exitCode what the process exits with
   * @param message one sentence to show
   * @param cause what went wrong underneath; only the stack trace shows it
   */
  public UserException(ExitCode exitCode, String message, Throwable cause) {
    super(message, cause);
    this.exitCode = exitCode;
  }

  /** {@return what the process exits with when this reaches the command line} */
  public ExitCode exitCode() {
    return exitCode;
  }

  /**
   * {@return what tells of a wrong file, image, table or configuration: exit code 3}
   *
   * @param format of the sentence to show, as in {@link String#format(String, Object...)}
   * @param arguments of the format, written by {@link Locale#ROOT}
   */
  @FormatMethod
  public static UserException data(String format, Object... arguments) {
    return new UserException(
        ExitCode.DATA_OR_CONFIGURATION, String.format(Locale.ROOT, format, arguments));
  }

  /**
   * {@return what tells of a wrong flag: exit code 2}
   *
   * @param format of the sentence to show, as in {@link String#format(String, Object...)}
   * @param arguments of the format, written by {@link Locale#ROOT}
   */
  @FormatMethod
  public static UserException usage(String format, Object... arguments) {
    return new UserException(ExitCode.USAGE, String.format(Locale.ROOT, format, arguments));
  }

  /**
   * {@return what tells of a full or unwritable disk: exit code 5}
   *
   * @param cause the failure underneath; only the stack trace shows it
   * @param format of the sentence to show, as in {@link String#format(String, Object...)}
   * @param arguments of the format, written by {@link Locale#ROOT}
   */
  @FormatMethod
  public static UserException storage(Throwable cause, String format, Object... arguments) {
    return new UserException(
        ExitCode.STORAGE, String.format(Locale.ROOT, format, arguments), cause);
  }
}
