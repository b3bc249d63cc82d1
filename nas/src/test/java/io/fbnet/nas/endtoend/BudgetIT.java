package io.fbnet.nas.endtoend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.run.MetricsLog;
import io.fbnet.nas.space.Architecture;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A budget from the command line to the exported architecture. */
class BudgetIT {
  @TempDir Path folder;
  private Fbnet fbnet;
  private Path file;
  private Path table;
  private double mean;

  @BeforeEach
  void makeATable() throws Exception {
    fbnet = new Fbnet(folder);
    file = fbnet.tinySpace();
    table = fbnet.tinyTable();
    LatencyTable made = LatencyTable.load(table.toString());
    mean =
        made.fixed()
            + Arrays.stream(made.layers())
                .mapToDouble(row -> DoubleStream.of(row).average().getAsDouble())
                .sum();
  }

  private static double last(List<ObjectNode> lines, String key) {
    return lines.stream()
        .filter(l -> l.has(key))
        .reduce((a, b) -> b)
        .orElseThrow()
        .get(key)
        .asDouble();
  }

  @Test
  @Tag("full")
  void theTargetHolds() throws Exception {
    LatencyTable read = LatencyTable.load(table.toString());
    for (double share : new double[] {0.7, 1.2}) {
      Path run = folder.resolve("run" + share);
      // As it is given, to a tenth of a microsecond: a network may lie on the very edge.
      double target = Math.round(share * mean * 10_000) / 10_000.0;
      List<String> command =
          new ArrayList<>(
              List.of(
                  Fbnet.tinySearch(
                      file,
                      table,
                      run,
                      "--target-latency",
                      String.format(Locale.ROOT, "%.1fus", 1000 * target),
                      "--max-latency",
                      String.format(Locale.ROOT, "%.1fus", 1010 * target))));
      command.set(command.indexOf("--epochs") + 1, "6");
      command.set(command.indexOf("--theta-rate") + 1, "0.1");
      Fbnet.Outcome outcome = fbnet.here(command.toArray(String[]::new));
      assertEquals(0, outcome.code(), outcome.err());
      Architecture found = Architecture.load(run.resolve("architecture.json").toString());
      double ms = read.latencyOf(found);
      assertTrue(ms >= 0.95 * target && ms <= 1.0101 * target, ms + " for " + target);
      List<ObjectNode> lines = MetricsLog.read(run.resolve("metrics.jsonl"));
      double first =
          lines.stream()
              .filter(l -> l.has("expected_ms"))
              .findFirst()
              .orElseThrow()
              .get("expected_ms")
              .asDouble();
      assertEquals(mean, first, 1e-3 * mean, "theta starts uniform");
      assertEquals(target, last(lines, "expected_ms"), 0.15 * target);
      assertTrue(outcome.out().contains("draws from theta are within the budget"), outcome.out());
    }
  }

  @Test
  void otherLimitsHoldToo() throws Exception {
    Path run = folder.resolve("run");
    Fbnet.Outcome outcome =
        fbnet.here(
            Fbnet.tinySearch(
                file,
                table,
                run,
                "--max-macs",
                "30k",
                "--max-params",
                "2500",
                "--noise",
                "image",
                "--hard",
                "--skips",
                "not_first"));
    assertEquals(0, outcome.code(), outcome.err());
    Architecture found = Architecture.load(run.resolve("architecture.json").toString());
    Description counted = Description.of(found);
    assertTrue(counted.macs() <= 30_000 && counted.parameters() <= 2_500, outcome.out());
    assertFalse(found.blocks().get(0).isSkip() || found.blocks().get(2).isSkip());
    List<ObjectNode> lines = MetricsLog.read(run.resolve("metrics.jsonl"));
    assertTrue(last(lines, "lambda_macs") >= 0 && last(lines, "expected_params") > 0);
  }

  @Test
  void wrongBudgetsAreRefusedBeforeTheFirstStep() throws Exception {
    for (String[] flags :
        new String[][] {
          {"3", "--target-latency", "100us", "least possible"},
          {"3", "--target-latency", "1s", "slowest"},
          {"3", "--max-latency", "100us", "least possible"},
          {"2", "--target-latency", "12", "unit"},
          {"2", "--max-macs", "many", "--max-macs"},
          {"3", "--max-params", "10", "least possible"},
        }) {
      Path run = folder.resolve("refused");
      Fbnet.Outcome outcome = fbnet.here(Fbnet.tinySearch(file, table, run, flags[1], flags[2]));
      assertEquals(flags[0], Integer.toString(outcome.code()), outcome.err());
      String said = outcome.err().lines().reduce((a, b) -> b).orElse("");
      assertTrue(said.contains(flags[3]), outcome.err());
      assertFalse(Files.exists(run.resolve("config.yaml")), "a run was begun");
    }
    Fbnet.Outcome both =
        fbnet.here(
            Fbnet.tinySearch(
                file, table, folder.resolve("both"), "--target-latency", "1ms", "--beta", "0.6"));
    assertEquals(2, both.code(), both.err());
  }
}
