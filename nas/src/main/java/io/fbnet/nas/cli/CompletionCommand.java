package io.fbnet.nas.cli;

import java.util.concurrent.Callable;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code fbnet completion}: what a shell sources to complete verbs and flags. */
@Command(
    name = "completion",
    description = {
      "Prints a completion script for bash and zsh.",
      "Use it with: source <(fbnet completion)"
    })
final class CompletionCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Override
  public Integer call() {
    new Console(spec).print(AutoComplete.bash("fbnet", spec.root().commandLine()) + "\n");
    return 0;
  }
}
