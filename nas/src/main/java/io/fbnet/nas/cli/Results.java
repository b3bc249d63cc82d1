package io.fbnet.nas.cli;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Optional;

/**
 * Standard output, of which a failure is remembered: a print stream swallows it, and a verb whose
 * results are lost has not done what it was asked for.
 */
final class Results extends OutputStream {
  /** How the system says that the reader has had enough, as {@code head} has; no failure. */
  private static final String BROKEN_PIPE = "Broken pipe";

  private final OutputStream out;
  private IOException failure;

  Results(OutputStream out) {
    this.out = out;
  }

  @Override
  public void write(int b) throws IOException {
    write(new byte[] {(byte) b}, 0, 1);
  }

  @Override
  public void write(byte[] bytes, int from, int length) throws IOException {
    try {
      out.write(bytes, from, length);
    } catch (IOException e) {
      failure = failure == null ? e : failure;
      throw e;
    }
  }

  /** What kept results from being written, as exit code 5. */
  Optional<UserException> failure() {
    if (failure == null || BROKEN_PIPE.equals(failure.getMessage())) {
      return Optional.empty();
    }
    return Optional.of(
        new UserException(
            ExitCode.STORAGE,
            "the results could not be written to standard output ("
                + failure.getMessage()
                + "): free some space there or send them elsewhere",
            failure));
  }
}
