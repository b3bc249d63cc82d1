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
 * @param quiet whether warnings alone are printed, for what is a part of something larger
 */
record Console(CommandSpec spec, boolean quiet) {
  Console(CommandSpec spec) {
    this(spec, false);
  }

  /** Prints a result that ends in its own line break. */
  void print(String text) {
    if (quiet) {
      return;
    }
    spec.commandLine().getOut().print(text);
    spec.commandLine().getOut().flush();
  }

  /** Prints a result as JSON. */
  void print(JsonNode tree) {
    print(JsonText.of(tree));
  }

  /** Prints one line of progress or notice to standard error, whatever it repeats of a file. */
  void note(String sentence) {
    if (!quiet) {
      say(sentence);
    }
  }

  private void say(String sentence) {
    spec.commandLine().getErr().println(Main.prefix() + UserException.plain(sentence));
  }

  /** Prints a warning to standard error. */
  void warn(String sentence) {
    say("warning: " + sentence);
  }
}
