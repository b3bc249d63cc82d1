package io.fbnet.nas.cli;

import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Option;

/** What the architecture may cost. */
final class BudgetFlags {
  private static final Pattern QUANTITY =
      Pattern.compile("([0-9]+(?:\\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\\s*([a-zA-Z]*)");

  @Option(
      names = "--target-latency",
      paramLabel = "TIME",
      description =
          "A latency by the table, such as 12ms or 850us, that the architecture takes to within 5%%"
              + " below and 2%% above. The loss is then CE + lambda * (E[LAT] / TIME - 1), lambda"
              + " adapted, in place of the paper's product.")
  String targetLatency;

  @Option(
      names = "--max-latency",
      paramLabel = "TIME",
      description =
          "A latency by the table that no architecture goes beyond, such as 12ms. Alone, the loss"
              + " is CE + lambda * (E[LAT] / TIME - 1) with a lambda from 0 on; beside"
              + " --target-latency, which it may not lie below, it cuts the 2%% above.")
  String maxLatency;

  @Option(
      names = "--max-macs",
      paramLabel = "COUNT",
      description = "At most this many multiply-adds, such as 300M.")
  String maxMacs;

  @Option(
      names = "--max-params",
      paramLabel = "COUNT",
      description = "At most this many parameters, such as 4.5M.")
  String maxParams;

  /** Checks what needs no table. */
  void check() {
    double target = milliseconds("--target-latency", targetLatency);
    double most = milliseconds("--max-latency", maxLatency);
    if (maxLatency != null && target > most) {
      throw UserException.usage(
          "--max-latency %s lies below --target-latency %s: nothing that is as slow as the target"
              + " would be allowed; lower the target, or leave it out",
          maxLatency, targetLatency);
    }
    count("--max-macs", maxMacs);
    count("--max-params", maxParams);
  }

  /** Whether the loss is that of a limited latency, in place of the product with the latency. */
  boolean limitsLatency() {
    return targetLatency != null || maxLatency != null;
  }

  /** The limits on a table and a space. */
  Budget budget(LatencyTable table, SearchSpace space) {
    List<Limit> limits = new ArrayList<>();
    if (targetLatency != null) {
      limits.add(Limit.latency(table, milliseconds("--target-latency", targetLatency)));
    }
    if (maxLatency != null) {
      limits.add(Limit.mostLatency(table, milliseconds("--max-latency", maxLatency)));
    }
    limits.addAll(withoutTable(space).limits());
    return new Budget(limits);
  }

  /** Those of them that can be checked before a table is measured. */
  Budget withoutTable(SearchSpace space) {
    List<Limit> limits = new ArrayList<>();
    if (maxMacs != null) {
      limits.add(Limit.macs(space, count("--max-macs", maxMacs)));
    }
    if (maxParams != null) {
      limits.add(Limit.parameters(space, count("--max-params", maxParams)));
    }
    return new Budget(limits);
  }

  private static double milliseconds(String flag, String text) {
    if (text == null) {
      return 0;
    }
    Matcher m = QUANTITY.matcher(text.strip());
    double factor =
        !m.matches()
            ? 0
            : switch (m.group(2)) {
              case "us" -> 1e-3;
              case "ms" -> 1;
              case "s" -> 1e3;
              default -> 0;
            };
    double value = factor == 0 ? 0 : factor * Double.parseDouble(m.group(1));
    if (!(value > 0 && Double.isFinite(value))) {
      throw UserException.usage(
          "%s must be a time above 0 with its unit, such as 12ms, 850us or 0.02s, but is '%s'",
          flag, text);
    }
    return value;
  }

  private static double count(String flag, String text) {
    if (text == null) {
      return 0;
    }
    Matcher m = QUANTITY.matcher(text.strip());
    double factor =
        !m.matches()
            ? 0
            : switch (m.group(2)) {
              case "" -> 1;
              case "k", "K" -> 1e3;
              case "M" -> 1e6;
              case "G" -> 1e9;
              default -> 0;
            };
    double value = factor == 0 ? 0 : factor * Double.parseDouble(m.group(1));
    if (!(value > 0 && Double.isFinite(value))) {
      throw UserException.usage(
          "%s must be a number above 0, such as 4500000, 4.5M, 800k or 1.2G, but is '%s'",
          flag, text);
    }
    return value;
  }
}
