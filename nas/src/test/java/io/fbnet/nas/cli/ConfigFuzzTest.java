package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.fuzz.Fuzz;
import io.fbnet.nas.fuzz.Fuzz.Target;
import io.fbnet.nas.fuzz.TextMutator;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Configurations that are damaged in many ways, up to the flags that they set. */
class ConfigFuzzTest {
  private static final String SEARCH =
      """
      # A comment.
      space: fashion
      data: shapes
      epochs: 3
      batch: 32
      lut: pixel3
      seed: 7
      rate: 0.1
      flip: "true"
      hard: true
      w-loss: product
      target-latency: 1.5
      out: 'runs/x'
      """;

  private static final String IMPORT = "space: fashion\nunit: us\nfixed: 1.5\nout: t.json\n";

  @TempDir Path folder;

  @TestFactory
  Stream<DynamicTest> fewOfEachVerb() {
    return Fuzz.fewOf(targets());
  }

  @Tag("full")
  @Tag("sweep")
  @TestFactory
  Stream<DynamicTest> manyOfEachVerb() {
    return Fuzz.manyOf(targets());
  }

  private Stream<Target> targets() {
    return Stream.of(
        target("search", SEARCH, "search"),
        target("latency import", IMPORT, "latency", "import", "table.txt"));
  }

  private Target target(String name, String valid, String... verb) {
    CommandLine root = Main.commandLine();
    root.setCaseInsensitiveEnumValuesAllowed(true);
    return new Target(
        "configuration of " + name,
        folder.resolve("config.yaml"),
        folder.resolve("config.yaml"),
        new TextMutator(List.of(valid)),
        file -> parse(root, file, verb),
        Refused.class,
        4L << 20,
        200);
  }

  private static void parse(CommandLine root, Path file, String... verb) throws Refused {
    String[] arguments =
        Stream.concat(Stream.of(verb), Stream.of("--config", file.toString()))
            .toArray(String[]::new);
    try {
      root.parseArgs(ConfigFile.apply(root, arguments));
    } catch (CommandLine.ParameterException e) {
      if (e.getCause() instanceof UserException cause) {
        throw cause;
      }
      throw new Refused(UsageSentence.of(e));
    }
  }

  /** What the command line refuses. */
  private static final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String sentence) {
      super(sentence);
    }
  }
}
