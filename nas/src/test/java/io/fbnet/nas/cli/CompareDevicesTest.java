package io.fbnet.nas.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.cli.MainTest.Outcome;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.search.TinySearch;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every network under every condition, by hand. */
class CompareDevicesTest {
  @TempDir private Path folder;
  private final SearchSpace space = TinySearch.space();

  private LatencyTable table(String device, SearchSpace of, double factor) {
    double[][] ms = TinySearch.table(of).layers();
    for (int l = 0; l < ms.length; l++) {
      for (int k = 0; k < ms[l].length; k++) {
        ms[l][k] *= factor + 0.1 * k;
      }
    }
    return LatencyTable.builder(device, of).fixed(0.5).layers(ms).build();
  }

  /** A finished run, as far as this verb reads it. */
  private Path run(String name, SearchSpace of, LatencyTable table, int... choice)
      throws IOException {
    Path run = Files.createDirectories(folder.resolve(name));
    Files.writeString(run.resolve("config.yaml"), "space: tiny\n");
    Architecture.of(name, of, choice).write(run.resolve("architecture.json"));
    table.write(run.resolve("latency.json"));
    return run;
  }

  private static String ms(LatencyTable table, int[] choice, boolean own) {
    double sum = table.fixed();
    for (int l = 0; l < choice.length; l++) {
      sum += table.layers()[l][choice[l]];
    }
    return String.format(Locale.ROOT, own ? "**%.4f ms**" : "%.4f ms", sum);
  }

  private int[] choice(int of) {
    int[] choice = new int[space.layerCount()];
    Arrays.fill(choice, of);
    return choice;
  }

  @Test
  void everyNetworkStandsUnderEveryDeviceAndResolution() throws IOException {
    SearchSpace small = space.withResolution(8);
    LatencyTable phone = table("phone", space, 1);
    LatencyTable board = table("board|2", space, 3);
    LatencyTable less = table("phone", small, 0.5);
    int[] a = choice(0);
    int[] b = choice(1);
    int[] c = choice(2);
    Outcome outcome =
        SmallRuns.run(
            "compare-devices",
            run("a", space, phone, a).toString(),
            run("b", space, board, b).toString(),
            run("c", small, less, c).toString());
    outcome.succeeded();
    List<String> lines = outcome.out().lines().toList();
    assertEquals(
        "| found for | on phone at 12x12 | on board\\|2 at 12x12 | on phone at 8x8 | blocks |",
        lines.getFirst());
    int[][] choices = {a, b, c};
    LatencyTable[] tables = {phone, board, less};
    for (int n = 0; n < choices.length; n++) {
      for (int t = 0; t < tables.length; t++) {
        String cell = lines.get(2 + n).split(" \\| ", -1)[1 + t];
        assertEquals(ms(tables[t], choices[n], n == t), cell, "network " + n + ", table " + t);
      }
    }
  }

  @Test
  void oneResolutionIsNotSaid() throws IOException {
    Outcome outcome =
        SmallRuns.run(
            "compare-devices",
            run("a", space, table("phone", space, 1), choice(0)).toString(),
            run("b", space, table("board", space, 2), choice(1)).toString());
    outcome.succeeded();
    assertTrue(
        outcome.out().startsWith("| found for | on phone | on board | blocks |"), outcome.out());
  }

  @Test
  void aTableOfAnotherSpaceIsRefused() throws IOException {
    SearchSpace wide = space.withWidths(2);
    Outcome outcome =
        SmallRuns.run(
            "compare-devices",
            run("a", space, table("phone", space, 1), choice(0)).toString(),
            run("b", wide, table("board", wide, 2), choice(1)).toString());
    assertEquals(3, outcome.code(), outcome.err());
    assertEquals(1, outcome.err().lines().count(), outcome.err());
    Files.delete(folder.resolve("a").resolve("architecture.json"));
    outcome = SmallRuns.run("compare-devices", folder.resolve("a").toString());
    assertEquals(3, outcome.code(), outcome.err());
    assertTrue(outcome.err().contains("finish it with fbnet search --resume"), outcome.err());
  }
}
