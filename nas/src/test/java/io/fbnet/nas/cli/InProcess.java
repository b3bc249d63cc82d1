package io.fbnet.nas.cli;

import java.io.PrintWriter;

/** The command line within a test's own Java, for tests of other packages. */
public final class InProcess {
  private InProcess() {}

  /** Runs the verb that the arguments name and returns its exit code. */
  public static int run(String[] arguments, PrintWriter out, PrintWriter err) {
    return Main.run(arguments, out, err, false);
  }
}
