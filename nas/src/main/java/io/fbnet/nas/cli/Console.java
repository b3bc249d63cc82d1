package io.fbnet.nas.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.fbnet.nas.UserException;
import io.fbnet.nas.file.JsonText;
import picocli.CommandLine.Model.CommandSpec;

/**
 * Where a verb writes: results to standard output, so that they can be piped, warnings to standard
 * error.
 *
 * @param spec of the verb, which knows the streams
 * @param says what is printed at all
 */
record Console(CommandSpec spec, Says says) {
  /** What a console prints. */
  enum Says {
    EVERYTHING,
    /** Of what is a part of something larger. */
    WARNINGS,
    /** Of what another process says as well. */
    NOTHING
  }

  Console(CommandSpec spec) {
    this(spec, Says.EVERYTHING);
  }

  /** Prints a result that ends in its own line break. */
  void print(String text) {
    if (says == Says.EVERYTHING) {
      spec.commandLine().getOut().print(text);
      spec.commandLine().getOut().flush();
    }
  }

  /** Prints a result as JSON. */
  void print(JsonNode tree) {
    print(JsonText.of(tree));
  }

  /** Prints one line of progress or notice to standard error, whatever it repeats of a file. */
  void note(String sentence) {
    if (says == Says.EVERYTHING) {
      say(sentence);
    }
  }

  private void say(String sentence) {
    spec.commandLine().getErr().println(Main.prefix() + UserException.plain(sentence));
  }

  /** Prints a warning to standard error. */
  void warn(String sentence) {
    if (says != Says.NOTHING) {
      say("warning: " + sentence);
    }
  }
}
