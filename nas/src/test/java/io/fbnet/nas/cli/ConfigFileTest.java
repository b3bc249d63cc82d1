package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

class ConfigFileTest {
  @TempDir Path folder;

  enum Loss {
    PRODUCT,
    CE
  }

  /** A verb with a flag of every kind. */
  @Command(name = "exercise")
  static final class Train implements Runnable {
    @Spec CommandSpec spec;
    @Mixin ConfigOption config;

    @Option(
        names = {"-e", "--epochs"},
        defaultValue = "90")
    int epochs;

    @Option(names = "--seed", required = true)
    long seed;

    @Option(names = "--lr", defaultValue = "0.1")
    double lr;

    @Option(names = "--w-loss", defaultValue = "product")
    Loss loss;

    @Option(names = "--resume")
    boolean resume;

    @Option(names = "--augment", negatable = true, defaultValue = "true", fallbackValue = "true")
    boolean augment;

    @Option(names = "--out")
    Path out;

    @Option(names = "--betas", split = ",")
    List<Double> betas;

    @Option(names = "--tag")
    List<String> tags;

    @Option(names = "--wait", converter = Seconds.class)
    Integer wait;

    String resolved;

    @Override
    public void run() {
      resolved = ConfigFile.resolved(spec, Set.of("resume"));
    }
  }

  /** Reads 10s as 10. */
  static final class Seconds implements CommandLine.ITypeConverter<Integer> {
    @Override
    public Integer convert(String value) {
      if (!value.endsWith("s")) {
        throw new CommandLine.TypeConversionException("'" + value + "' has no unit, such as 10s");
      }
      return Integer.valueOf(value.substring(0, value.length() - 1));
    }
  }

  private record Outcome(Train train, int code, String err) {}

  private static Outcome run(String... arguments) {
    Train train = new Train();
    StringWriter err = new StringWriter();
    CommandLine root = Main.commandLine().addSubcommand(train);
    String[] all = new String[arguments.length + 1];
    all[0] = "exercise";
    System.arraycopy(arguments, 0, all, 1, arguments.length);
    root.setOut(new PrintWriter(Writer.nullWriter()));
    int code = Main.run(root, all, new PrintWriter(err), false);
    return new Outcome(train, code, err.toString());
  }

  private String file(String text) throws IOException {
    return Files.writeString(folder.resolve("c.yaml"), text).toString();
  }

  private static final String FULL =
      """
      # all of them
      epochs: 3
      seed: 12345678901
      lr: 0.5
      w-loss: ce
      resume: true
      augment: false
      out: runs/x
      betas: [0.9, 0.99]
      tag: only
      wait: 10s
      """;

  @Test
  void everyFlagCanBeSet() throws IOException {
    Outcome outcome = run("--config", file(FULL));
    assertEquals("", outcome.err());
    Train train = outcome.train();
    assertEquals(3, train.epochs);
    assertEquals(12345678901L, train.seed);
    assertEquals(0.5, train.lr);
    assertEquals(Loss.CE, train.loss);
    assertTrue(train.resume);
    assertTrue(!train.augment);
    assertEquals(Path.of("runs/x"), train.out);
    assertEquals(List.of(0.9, 0.99), train.betas);
    assertEquals(List.of("only"), train.tags);
    assertEquals(10, train.wait);
  }

  @Test
  void theCommandLineWins() throws IOException {
    String config = "--config=" + file(FULL);
    Train train = run("-e", "7", config, "--seed=1", "--resume", "--augment").train();
    assertEquals(7, train.epochs);
    assertEquals(1, train.seed);
    assertTrue(train.resume, "a flag given twice means yes, not its opposite");
    assertTrue(train.augment);
    assertEquals(0.5, train.lr);
    assertEquals(8, run("-e8", config).train().epochs);
    assertTrue(!run("--no-augment", "--config", file("seed: 1\naugment: true\n")).train().augment);
    assertTrue(!run("--seed", "1", "--no-augment").train().augment);
    assertTrue(run("--seed", "1").train().augment);
  }

  @Test
  void whatWasResolvedCanBeReadAgain() throws IOException {
    Train first = run("--config", file(FULL), "--out", "a b: #c\"").train();
    assertTrue(first.resolved.contains("out: \"a b: #c\\\"\"\n"), first.resolved);
    assertTrue(!first.resolved.contains("resume"), first.resolved);
    Train again = run("--config", file(first.resolved)).train();
    assertEquals(first.resolved, again.resolved);
    assertEquals(first.out, again.out);
    assertEquals(first.betas, again.betas);
    Train many = run("--config", file("seed: 1\ntag: [\"a, b\", c]\n")).train();
    assertEquals(List.of("a, b", "c"), many.tags);
    assertEquals(many.tags, run("--config", file(many.resolved)).train().tags);
    assertEquals(List.of("d"), run("--config", file(many.resolved), "--tag", "d").train().tags);
  }

  private void refused(String text, String... words) throws IOException {
    Outcome outcome = run("--config", file(text));
    assertEquals(3, outcome.code(), outcome.err());
    assertEquals(1, outcome.err().lines().count(), outcome.err());
    for (String word : words) {
      assertTrue(outcome.err().contains(word), "no '" + word + "' in: " + outcome.err());
    }
  }

  @Test
  void everyValueIsTakenAsTheCommandLineTakesIt() throws IOException {
    Train train = run("--config", file("seed: \"7\"\nlr: 1e-4\nout: 4000000\n")).train();
    assertEquals(7, train.seed);
    assertEquals(1e-4, train.lr);
    assertEquals("4000000", train.out.toString());
    assertEquals("1e7", run("--config", file("seed: 1\nout: 1e7\n")).train().out.toString());
    assertEquals("007", run("--config", file("seed: 1\nout: 007\n")).train().out.toString());
  }

  @Test
  void wrongFilesNameLineAndKey() throws IOException {
    refused("seed: 1\nepoch: 3\n", "c.yaml, line 2", "'epoch'", "'fbnet exercise'", "'epochs'?");
    refused("seed: 1\nconfig: other.yaml\n", "line 2", "'config'");
    refused("seed: 1\nepochs: many\n", "line 2", "'epochs'", "whole number", "\"many\"");
    refused("seed: 1\nepochs: 3.5\n", "line 2", "whole number");
    refused("seed: 1\nepochs: 99999999999\n", "line 2", "between");
    refused("lr: true\n", "line 1", "'lr'", "number");
    refused("resume: 1\n", "line 1", "true or false");
    refused("out: [7]\n", "line 1", "text");
    refused("w-loss: cee\n", "line 1", "product, ce", "'ce'?");
    refused("betas: [0.9, x]\n", "line 1", "betas[1]", "number");
    refused("lr: [1, 2]\n", "line 1", "'lr'", "a list");
    refused("betas: [[1]]\n", "line 1", "betas[0]", "a list");
    refused("wait: 10\n", "line 1", "'wait'", "no unit");
    refused("- seed\n", "line 1", "named fields");
    refused("seed: 1\nseed: 2\n", "line 2", "second time");
    refused("seed: [1\n", "not valid YAML");
    refused("", "empty");
    Outcome missing = run("--config", folder.resolve("none.yaml").toString());
    assertEquals(3, missing.code());
    assertTrue(missing.err().contains("no file"), missing.err());
  }

  @Test
  void whatIsMissingStaysAUsageError() throws IOException {
    Outcome outcome = run("--config", file("epochs: 1\n"));
    assertEquals(2, outcome.code(), outcome.err());
    assertTrue(outcome.err().contains("--seed"), outcome.err());
    assertEquals(2, run("--config").code());
    assertEquals(2, run("--seed", "x").code());
    assertEquals(0, run("--config", "none.yaml", "--help").code());
  }
}
