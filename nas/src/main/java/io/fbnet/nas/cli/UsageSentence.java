package io.fbnet.nas.cli;

import io.fbnet.nas.file.Nearest;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.UnmatchedArgumentException;

/** One sentence about wrong flags: what is wrong, what was likely meant, where help is. */
final class UsageSentence {
  private UsageSentence() {}

  static String of(CommandLine.ParameterException e) {
    CommandLine command = e.getCommandLine();
    String what =
        e.getMessage() == null
            ? "wrong arguments"
            : e.getMessage().lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse("");
    String hint = "";
    if (e instanceof UnmatchedArgumentException unmatched && !unmatched.getUnmatched().isEmpty()) {
      String word = unmatched.getUnmatched().get(0);
      hint =
          Nearest.to(word.split("=", 2)[0], candidates(command, word))
              .map(near -> "; did you mean '" + near + "'?")
              .orElse("");
    }
    if (what.equals("Missing required subcommand")) {
      hint = ": one of " + String.join(", ", command.getSubcommands().keySet());
    }
    String name = command.getCommandSpec().qualifiedName();
    return String.format(Locale.ROOT, "%s%s (see '%s --help')", what, hint, name);
  }

  private static List<String> candidates(CommandLine command, String word) {
    List<String> names = new ArrayList<>();
    if (word.startsWith("-")) {
      for (OptionSpec option : command.getCommandSpec().options()) {
        names.addAll(List.of(option.names()));
      }
    } else {
      names.addAll(command.getSubcommands().keySet());
    }
    return names;
  }
}
