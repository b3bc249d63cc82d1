package io.fbnet.nas.cli;

import java.io.PrintWriter;
import java.io.Writer;
import java.util.Locale;
import java.util.function.LongSupplier;

/**
 * Progress on standard error: on a terminal one line that is rewritten, elsewhere (a log file) a
 * plain line every few seconds. Not for several threads at once.
 */
final class ProgressLine implements AutoCloseable {
  private static final long TERMINAL_NANOS = 100_000_000L;
  private static final long PLAIN_NANOS = 5_000_000_000L;
  private static final String ERASE_TO_END = "\u001b[K";

  private final PrintWriter err;
  private final boolean terminal;
  private final LongSupplier nanoTime;
  private final long start;
  private long firstDone = -1;
  private long lastPrinted;
  private boolean printed;
  private boolean open;

  /** Progress to this stream, rewritten in place if standard error is a terminal. */
  ProgressLine(PrintWriter err) {
    this(err, Libc.isTerminal(2) && !"dumb".equals(System.getenv("TERM")), System::nanoTime);
  }

  /** Progress that nobody sees. */
  static ProgressLine silent() {
    return new ProgressLine(new PrintWriter(Writer.nullWriter()), false, System::nanoTime);
  }

  ProgressLine(PrintWriter err, boolean terminal, LongSupplier nanoTime) {
    this.err = err;
    this.terminal = terminal;
    this.nanoTime = nanoTime;
    this.start = nanoTime.getAsLong();
  }

  /**
   * Says how far the work is; cheap enough to call at every step, as most calls print nothing.
   *
   * @param done of {@code total}; what was done before the first call, as after a resume, does not
   *     count in the time left
   * @param what is being done, with whatever numbers are of interest
   */
  void update(long done, long total, String what) {
    long now = nanoTime.getAsLong();
    if (firstDone < 0) {
      firstDone = done;
    }
    boolean last = done >= total;
    if (printed && !last && now - lastPrinted < (terminal ? TERMINAL_NANOS : PLAIN_NANOS)) {
      return;
    }
    lastPrinted = now;
    printed = true;
    String line =
        String.format(
            Locale.ROOT,
            "%3d%%  %s%s",
            total <= 0 ? 100 : Math.min(100, 100 * done / total),
            what,
            timeLeft(done, total, now - start));
    if (terminal) {
      err.print("\r" + line + ERASE_TO_END);
      err.flush();
      open = true;
    } else {
      err.println(line);
    }
  }

  private String timeLeft(long done, long total, long elapsed) {
    if (done <= firstDone || done >= total) {
      return "";
    }
    double seconds = elapsed / 1e9 / (done - firstDone) * (total - done);
    return ", " + duration((long) Math.ceil(seconds)) + " left";
  }

  /** Seconds as people write them: 45s, 3m05s, 2h07m. */
  static String duration(long seconds) {
    if (seconds < 60) {
      return seconds + "s";
    }
    if (seconds < 3600) {
      return String.format(Locale.ROOT, "%dm%02ds", seconds / 60, seconds % 60);
    }
    return String.format(Locale.ROOT, "%dh%02dm", seconds / 3600, seconds / 60 % 60);
  }

  /** Removes the rewritten line, so that something else can be printed; the next update redraws. */
  void clear() {
    if (open) {
      err.print("\r" + ERASE_TO_END);
      err.flush();
      open = false;
    }
  }

  /** Leaves the last state standing on a line of its own. */
  @Override
  public void close() {
    if (open) {
      err.println();
      open = false;
    }
  }
}
