package io.fbnet.nas.cli;

import io.fbnet.engine.backend.DeviceFailure;
import io.fbnet.engine.backend.OutOfDeviceMemory;
import io.fbnet.engine.backend.RankFailure;
import io.fbnet.nas.ExitCode;
import io.fbnet.nas.UserException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Locale;
import picocli.CommandLine;

/**
 * The program {@code fbnet}. Whatever goes wrong ends in one sentence on standard error that begins
 * with {@code fbnet: }, and in a documented exit code; a stack trace is shown only where the
 * environment says {@code FBNET_DEBUG=1}.
 */
public final class Main {
  static final String PREFIX = "fbnet: ";
  private static final String DEBUG = "FBNET_DEBUG";

  /** Who speaks, where several processes do. */
  private static volatile String speaker = "";

  private Main() {}

  /** What a sentence to the user begins with. */
  static String prefix() {
    return PREFIX + speaker;
  }

  /** Has every sentence from now on name the one of several processes that says it. */
  static void speakAs(String who) {
    speaker = who + ": ";
  }

  /** Runs the verb that the arguments name and ends the process with its exit code. */
  public static void main(String[] arguments) {
    Relaunch.ifNeeded(Main.class, arguments);
    PrintWriter err = new PrintWriter(System.err, true, System.err.charset());
    Results results = new Results(new FileOutputStream(FileDescriptor.out));
    PrintWriter out = new PrintWriter(results, true, System.out.charset());
    int code = run(arguments, out, err, isDebug());
    out.flush();
    if (code == ExitCode.OK.code() && results.failure().isPresent()) {
      code = report(results.failure().get(), err, isDebug());
    }
    err.flush();
    System.exit(code);
  }

  static boolean isDebug() {
    return "1".equals(System.getenv(DEBUG));
  }

  /**
   * As {@link #main}, but with streams of the caller's and without ending the process.
   *
   * @param debug whether to print stack traces
   * @return the exit code
   */
  static int run(String[] arguments, PrintWriter out, PrintWriter err, boolean debug) {
    CommandLine root = FbnetCommand.forArguments(arguments).setOut(out).setErr(err);
    return run(root, arguments, err, debug);
  }

  static int run(CommandLine root, String[] arguments, PrintWriter err, boolean debug) {
    root.setCaseInsensitiveEnumValuesAllowed(true);
    root.setParameterExceptionHandler((e, args) -> usage(e, err, debug));
    root.setExecutionExceptionHandler((e, command, result) -> report(e, err, debug));
    try {
      Names.requireReadable(arguments);
      RankFlags.requireShared(arguments);
      return root.execute(ConfigFile.apply(root, RunConfig.expandResume(arguments)));
    } catch (Throwable e) {
      // picocli lets errors, such as a full heap, through.
      return report(e, err, debug);
    }
  }

  /** The command line with all its verbs, as completion and tests need it. */
  static CommandLine commandLine() {
    return FbnetCommand.forArguments();
  }

  private static int usage(CommandLine.ParameterException e, PrintWriter err, boolean debug) {
    if (e.getCause() instanceof UserException cause) {
      return report(cause, err, debug);
    }
    err.println(prefix() + UsageSentence.of(e));
    printTrace(e, err, debug);
    return ExitCode.USAGE.code();
  }

  private static int report(Throwable e, PrintWriter err, boolean debug) {
    ExitCode code;
    String sentence;
    switch (e) {
      case UserException user -> {
        code = user.exitCode();
        sentence = user.getMessage();
      }
      case InvalidPathException path -> {
        code = ExitCode.DATA_OR_CONFIGURATION;
        sentence =
            String.format(
                Locale.ROOT,
                "'%s' cannot be the name of a file here (%s): %s",
                path.getInput(),
                path.getReason(),
                Names.REMEDY);
      }
      case OutOfMemoryError full -> {
        code = ExitCode.DEVICE_OR_MEMORY;
        sentence =
            String.format(
                Locale.ROOT,
                "out of memory (%s): give Java more with -Xmx, or choose a smaller batch",
                full.getMessage());
      }
      case OutOfDeviceMemory full -> {
        code = ExitCode.DEVICE_OR_MEMORY;
        sentence = full.getMessage() + " (--batch; a search also has --memory lean)";
      }
      case RankFailure failure -> {
        code = ExitCode.RANKS;
        sentence = oneLine(failure.getMessage());
      }
      case DeviceFailure failure -> {
        code = ExitCode.DEVICE_OR_MEMORY;
        sentence = oneLine(failure.getMessage());
      }
      default -> {
        code = ExitCode.INTERNAL;
        sentence = "internal error: " + oneLine(e) + (debug ? "" : "; " + whereTheTraceIs(e));
      }
    }
    err.println(prefix() + sentence);
    printTrace(e, err, debug);
    return code.code();
  }

  private static void printTrace(Throwable e, PrintWriter err, boolean debug) {
    if (debug) {
      e.printStackTrace(err);
    }
  }

  private static String oneLine(Object e) {
    return String.valueOf(e).lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse("");
  }

  private static String whereTheTraceIs(Throwable e) {
    try {
      Path file = Files.createTempFile("fbnet-error-", ".txt");
      try (PrintWriter trace =
          new PrintWriter(Files.newBufferedWriter(file, StandardCharsets.UTF_8))) {
        e.printStackTrace(trace);
      }
      return "please report it with the trace in " + file;
    } catch (IOException | SecurityException io) {
      return "run it again with " + DEBUG + "=1 to see the trace";
    }
  }
}
