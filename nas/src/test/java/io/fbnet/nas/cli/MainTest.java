package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.fbnet.nas.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Command;

class MainTest {
  @TempDir Path folder;

  /** What one invocation printed and returned. */
  record Outcome(int code, String out, String err) {
    /** The same for a program that said other things before. */
    Outcome refusedAtTheEnd(int expected, String... words) {
      String last = err.lines().reduce((a, b) -> b).orElse("");
      var _ = new Outcome(code, out, last).refused(expected, words);
      return this;
    }

    /** Checks that it ended with code 0. */
    Outcome succeeded() {
      assertEquals(0, code, err);
      return this;
    }

    /** Checks that it ended with this code and one sentence that holds these words. */
    Outcome refused(int expected, String... words) {
      assertEquals(expected, code, err);
      assertEquals("", out);
      assertTrue(err.startsWith("fbnet: "), err);
      assertEquals(1, err.lines().count(), err);
      for (String word : words) {
        assertTrue(err.contains(word), "no '" + word + "' in: " + err);
      }
      return this;
    }
  }

  private static Outcome run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(arguments, new PrintWriter(out), new PrintWriter(err), false);
    return new Outcome(code, out.toString(), err.toString());
  }

  private static JsonNode json(Outcome outcome) throws IOException {
    assertEquals(0, outcome.code(), outcome.err());
    return new ObjectMapper().readTree(outcome.out());
  }

  @Test
  void describeShowsTheCounts() throws IOException {
    Outcome text = run("describe", "fbnet-c");
    assertEquals(0, text.code());
    assertTrue(text.out().contains("385.0M MACs, 5.572M parameters"), text.out());
    assertEquals("", text.err());
    JsonNode tree = json(run("describe", "FBNet-C", "--json"));
    assertEquals(5_572_200, tree.get("parameters").asLong());
    assertFalse(tree.has("latency_ms"));
  }

  @Test
  void describeWithATableWarnsOnStandardError() throws IOException {
    Path file = folder.resolve("a.json");
    Files.writeString(
        file, "{\"space\": \"cifar\", \"blocks\": [\"k3_e1\"" + ", \"skip\"".repeat(21) + "]}");
    Outcome outcome = run("describe", file.toString(), "--lut", "raspi4", "--json");
    assertTrue(outcome.err().startsWith("fbnet: warning: "), outcome.err());
    assertTrue(outcome.err().contains("classes 100"), outcome.err());
    assertEquals(7.798226 + 0.595037, json(outcome).get("latency_ms").asDouble(), 1e-9);
    run("describe", "fbnet-c", "--lut", "raspi4").refused(3, "does not fit", "3x224x224");
  }

  @Test
  void latencyShowTakesNamesAndFiles() throws IOException {
    Outcome text = run("latency", "show", "samsung_s7");
    assertEquals(0, text.code());
    assertTrue(text.out().contains("samsung_s7"), text.out());
    JsonNode tree = json(run("latency", "show", "samsung_s7", "--json"));
    Path file = Files.writeString(folder.resolve("t.json"), tree.toString());
    assertEquals(tree, json(run("latency", "show", file.toString(), "--json")));
  }

  @Test
  void wrongFlagsAreUsageErrors() {
    run().refused(2, "subcommand", "describe, ", "--help");
    run("descrieb", "x").refused(2, "did you mean 'describe'?");
    run("describe").refused(2, "NAME|FILE", "fbnet describe --help");
    run("describe", "a", "b").refused(2, "'b'");
    run("describe", "fbnet-c", "--jsn").refused(2, "--jsn", "did you mean '--json'?");
    run("describe", "fbnet-c", "--lut").refused(2, "--lut");
    run("describe", "fbnet-c", "--json", "--json").refused(2, "--json");
    run("latency").refused(2, "subcommand", "show");
    run("latency", "shwo").refused(2, "did you mean 'show'?");
    run("latency", "show").refused(2, "TABLE");
  }

  @Test
  void wrongFilesAreDataErrors() throws IOException {
    run("describe", "fbnet-z").refused(3, "fbnet-a");
    run("describe", folder.toString()).refused(3, "neither a file");
    run("latency", "show", "nothing").refused(3, "latency table");
    Path file =
        Files.writeString(folder.resolve("a.json"), "{\n\"space\": \"cifar\",\n\"blck\": 3}");
    run("describe", file.toString()).refused(3, "a.json, line 3", "'blocks'?");
    run("latency", "show", file.toString()).refused(3, "a.json, line", "unknown key");
  }

  @Test
  void helpAndVersionWorkEverywhere() {
    for (List<String> verb :
        List.of(
            List.<String>of(),
            List.of("describe"),
            List.of("latency"),
            List.of("latency", "show"),
            List.of("completion"))) {
      for (String flag : List.of("--help", "-h", "--version", "-V")) {
        String[] arguments = Stream.concat(verb.stream(), Stream.of(flag)).toArray(String[]::new);
        Outcome outcome = run(arguments);
        assertEquals(0, outcome.code(), outcome.err());
        assertEquals("", outcome.err());
        boolean help = flag.startsWith("-h") || flag.equals("--help");
        String expected = help ? "143   terminated" : "fbnet ";
        assertTrue(outcome.out().contains(expected), outcome.out());
      }
    }
  }

  @Test
  void completionKnowsVerbsAndFlags() {
    Outcome outcome = run("completion");
    assertEquals(0, outcome.code());
    assertTrue(outcome.out().startsWith("#!"), outcome.out());
    assertTrue(outcome.out().contains("describe"), outcome.out());
    assertTrue(outcome.out().contains("--lut"), outcome.out());
  }

  /** A verb that throws whatever a test wants. */
  @Command(name = "fail")
  static final class Failing implements Callable<Integer> {
    private final Throwable failure;

    Failing(Throwable failure) {
      this.failure = failure;
    }

    @Override
    public Integer call() throws Exception {
      if (failure instanceof Error error) {
        throw error;
      }
      throw (Exception) failure;
    }
  }

  private static Outcome fail(Throwable failure, boolean debug) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    CommandLine root = Main.commandLine().addSubcommand(new Failing(failure));
    int code = Main.run(root, new String[] {"fail"}, new PrintWriter(err), debug);
    return new Outcome(code, out.toString(), err.toString());
  }

  @Test
  void everyFailureIsOneSentenceWithItsCode() throws IOException {
    fail(UserException.storage(new IOException("x"), "disk full"), false)
        .refused(5, "fbnet: disk full");
    fail(new OutOfMemoryError("Java heap space"), false).refused(4, "-Xmx");
    fail(new StackOverflowError(), false).refused(1, "internal error");
    Outcome internal =
        fail(new IllegalStateException("two\nlines"), false).refused(1, "two lines", "trace in ");
    String path = internal.err().strip().replaceFirst(".*trace in ", "");
    assertTrue(Files.readString(Path.of(path)).contains("at io.fbnet"), path);
    Files.delete(Path.of(path));
    Outcome debug = fail(new IllegalStateException("why"), true);
    assertEquals(1, debug.code());
    assertTrue(debug.err().contains("\tat io.fbnet"), debug.err());
    assertTrue(fail(UserException.data("no"), true).err().contains("\tat io.fbnet"));
  }
}
