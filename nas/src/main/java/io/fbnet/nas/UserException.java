package io.fbnet.nas;

import com.google.errorprone.annotations.FormatMethod;
import java.util.Locale;

/**
 * Something the user can put right. The message is one clear sentence that names the file, line or
 * flag and the remedy; it is printed without a stack trace. It stays one line of at most some 2000
 * characters whatever was given to be named in it.
 */
public final class UserException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** More than any terminal shows at once; what a file repeats in it may be megabytes long. */
  private static final int LONGEST = 2000;

  /** How much of a sentence that is too long stands behind the gap: there is the remedy. */
  private static final int END = 500;

  private final ExitCode exitCode;

  /**
   * An exception without a cause.
   *
   * @param exitCode what the process exits with
   * @param message one sentence to show
   */
  public UserException(ExitCode exitCode, String message) {
    super(plain(message));
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
    super(plain(message), cause);
    this.exitCode = exitCode;
  }

  /**
   * {@return a message as one line of at most some 2000 characters that a terminal shows as they
   * are; others are written out}
   *
   * @param message which may repeat what a file holds
   */
  public static String plain(String message) {
    int[] characters = message.codePoints().toArray();
    StringBuilder line = new StringBuilder();
    for (int i = 0; i < characters.length; i++) {
      if (characters.length > LONGEST && i == LONGEST - END) {
        line.append(" ... ");
        i = characters.length - END;
      }
      int c = characters[i];
      switch (Character.getType(c)) {
        case Character.CONTROL,
            Character.FORMAT,
            Character.LINE_SEPARATOR,
            Character.PARAGRAPH_SEPARATOR,
            Character.SURROGATE ->
            line.append(
                c == '\n' || c == '\r' || c == '\t'
                    ? " "
                    : String.format(Locale.ROOT, "\\u%04x", c));
        default -> line.appendCodePoint(c);
      }
    }
    return line.toString();
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
