package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fbnet.nas.Refusals;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tables of known accuracies, right and wrong. */
class AccuracyTableTest {
  @TempDir Path folder;
  private final SearchSpace macro = SearchSpace.load("../docs/examples/nas-bench-macro.yaml");

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("known.json"), text);
  }

  private static String table(String networks) {
    return "{\"format\": 1, \"space\": \"nas-bench-macro\", \"networks\": [\n" + networks + "\n]}";
  }

  private static final String BLOCKS =
      "\"blocks\": [\"identity\", \"k3_e3\", \"k5_e6\", \"identity\", \"identity\", \"k3_e3\","
          + " \"k5_e6\", \"k5_e6\"]";
  private static final int[] CHOICE = {0, 1, 2, 0, 0, 1, 2, 2};

  @Test
  void itsNumbersAreRead() throws IOException {
    AccuracyTable table =
        AccuracyTable.load(
            file(
                table(
                    "{"
                        + BLOCKS
                        + ", \"accuracy\": 0.71, \"mean_accuracy\": 0.705, \"macs\": 123456,"
                        + " \"spent_macs\": 1.5e12, \"spent_seconds\": 70}")),
            macro);
    assertEquals(1, table.size());
    assertEquals(
        new AccuracyTable.Entry(0.71, 0.705, OptionalLong.of(123456), new Spent(1, 1.5e12, 70)),
        table.entry(CHOICE));
    assertEquals(
        new Evaluator.Judgement(0.71, Double.NaN, new Spent(1, 1.5e12, 70)), table.judge(CHOICE));
    Refusals.data(
        () -> table.judge(new int[8]), "known.json", "identity identity | identity", "add it");
    AccuracyTable least =
        AccuracyTable.load(file(table("{" + BLOCKS + ", \"accuracy\": 0.71}")), macro);
    assertEquals(
        new AccuracyTable.Entry(0.71, 0.71, OptionalLong.empty(), new Spent(1, 0, 0)),
        least.entry(CHOICE));
  }

  @Test
  void nasBenchMacrosFormIsRead() throws IOException {
    String entry =
        "{\"test_acc\": [90.5, 90.25], \"mean_acc\": 90.375, \"std\": 0.1, \"params\": 5,"
            + " \"flops\": 77}";
    AccuracyTable table =
        AccuracyTable.load(
            file("{\"01200122\": " + entry + ", \"11111111\": " + entry + "}"), macro);
    assertEquals(2, table.size());
    assertEquals(
        new AccuracyTable.Entry(0.905, 0.90375, OptionalLong.of(77), new Spent(1, 0, 0)),
        table.entry(CHOICE));
    refused("{\"0120012\": " + entry + "}", "'0120012'", "a digit for each of its 8 layers");
    refused("{\"01200123\": " + entry + "}", "'01200123'", "in layer L8");
    refused("{\"01200122\": " + entry.replace("90.5", "190.5") + "}", "test_acc", "100");
    refused("{\"01200122\": " + entry + ",\n\"format\": 1}", "line 2", "'format'");
    refused("{\"01200122\": " + entry.replace("\"std\"", "\"sd\"") + "}", "'sd'", "'std'");
  }

  @Test
  void wrongOnesAreRefused() throws IOException {
    String known = "{" + BLOCKS + ", \"accuracy\": 0.71}";
    refused(table(known).replace("\"format\": 1", "\"format\": 2"), "'format'", "update");
    refused(table(known).replace("nas-bench-macro", "cifar"), "'space'", "'nas-bench-macro'");
    refused(table(known + ",\n" + known), "line 3", "networks[1]", "stands there already");
    refused(table(known.replace("0.71", "71")), "line 2", "accuracy", "between 0");
    refused(table(known.replace("0.71", "\"good\"")), "accuracy", "number");
    refused(table(known.replace("accuracy", "acuracy")), "'acuracy'", "did you mean");
    refused(table(known.replace("\"k3_e3\", ", "")), "blocks", "must have 8");
    refused(table(known.replace("k3_e3", "k3_e6")), "blocks[1]", "layer L2", "k5_e6");
    refused(table(""), "networks", "must have 1 to");
    refused("{}", "format");
    refused("[]", "named fields");
    refused("", "is empty");
    Path none = folder.resolve("none.json");
    Refusals.data(() -> AccuracyTable.load(none, macro), "none.json", "no file");
  }

  private void refused(String text, String... words) throws IOException {
    Path file = file(text);
    Refusals.data(() -> AccuracyTable.load(file, macro), words);
  }

  /** The rule on skip holds for what a table names, too. */
  @Test
  void whatTheSpaceDoesNotAllowIsRefused() throws IOException {
    SearchSpace strict = macro.withSkips(SearchSpace.SkipRule.NOT_FIRST);
    Path file = file(table("{" + BLOCKS + ", \"accuracy\": 0.71}"));
    Refusals.data(() -> AccuracyTable.load(file, strict), "blocks[0]", "layer L1");
  }
}
