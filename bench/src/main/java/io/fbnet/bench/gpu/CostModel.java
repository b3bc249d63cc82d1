package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Family;
import io.fbnet.engine.backend.Launch.Kind;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The time of a launch on one NVIDIA H200, from its row in a launch table. A kernel is known by its
 * {@link Kind}, never by its name; names only tell whether it was there when the constants were
 * measured. See docs/decisions/019-cost-model.md.
 *
 * @param constants fitted values
 * @param spread for each profiled family, how many times the model's time the worst of its kernels
 *     took
 * @param profiled kernels of the profiles
 */
record CostModel(
    Map<Constant, Double> constants, Map<Family, Double> spread, Set<String> profiled) {
  static final int MULTIPROCESSORS = 132;

  private static final String RESOURCE = "h200-model.tsv";

  /** A copy within the device, in bytes a microsecond, read and written. */
  private static final double COPY = 4.2128e6;

  /** What passes reach of it where nothing else bounds them: the best kernels of the report. */
  private static final double SHARE_OF_COPY = 0.9;

  /** What a kernel that nobody measured is hoped to reach. */
  private static final double HOPED_SHARE = 0.85;

  /** Operations of a product of ours at worst, in a microsecond. */
  private static final double OWN_PRODUCT = 1e8;

  /** The tile that cuBLASLt gave the products of weights that it did not split. */
  private static final int TILE_ROWS = 32;

  private static final int TILE_COLUMNS = 64;

  /**
   * Microseconds.
   *
   * @param low if all goes well; the same as {@code high} for kernels of the profiles
   * @param high by what is known of the kind
   */
  record Range(double low, double high) {
    Range plus(Range other, int times) {
      return new Range(low + times * other.low, high + times * other.high);
    }
  }

  /** Microseconds by the fitted constants. */
  double time(Launch l) {
    return switch (l.family().kind()) {
      case PASS -> ours(l, Constant.LAUNCH, Constant.ROUND, l.elements() / at(Constant.PASS));
      case REDUCTION ->
          ours(l, Constant.LAUNCH, Constant.SUM_ROUND, l.elements() / at(Constant.SUM));
      case END -> ours(l, Constant.LAUNCH, Constant.ROUND, 0);
      case DEPTHWISE ->
          ours(l, Constant.DEPTHWISE_SETUP, Constant.ROUND, l.flops() / at(Constant.DEPTHWISE));
      case NORMALISED_DEPTHWISE ->
          ours(l, Constant.DEPTHWISE_SETUP, Constant.ROUND, l.flops() / at(Constant.NORMALISED));
      case DEPTHWISE_WEIGHTS ->
          ours(l, Constant.LAUNCH, Constant.ROUND, l.flops() / at(Constant.DEPTHWISE));
      case PRODUCT -> product(l);
      case OWN_PRODUCT -> ownProduct(l);
      case CONVOLUTION ->
          value(Constant.PRODUCT) + value(Constant.SPLIT) + l.flops() / at(Constant.CONVOLUTION);
    };
  }

  private double value(Constant c) {
    return constants.get(c);
  }

  /** A rate in a microsecond; the constants count in 10^12 a second. */
  private double at(Constant rate) {
    return value(rate) * 1e6;
  }

  /** The launch, what threads wait for one after the other, and what all of them do together. */
  private double ours(Launch l, Constant launch, Constant round, double arithmetic) {
    double bytes = (l.readBytes() + l.writtenBytes()) / (SHARE_OF_COPY * COPY);
    return value(launch) + l.rounds() * value(round) + Math.max(bytes, arithmetic) / busy(l);
  }

  /**
   * A product of ours, of which none has been measured: bytes no faster than cuBLASLt moves them,
   * and a tenth of what tensor cores can do.
   */
  private double ownProduct(Launch l) {
    double bytes = (l.readBytes() + l.writtenBytes()) / (value(Constant.PRODUCT_SPEED) * COPY);
    return value(Constant.LAUNCH)
        + l.rounds() * value(Constant.ROUND)
        + Math.max(bytes, l.flops() / OWN_PRODUCT) / busy(l);
  }

  /** The share of the multiprocessors that have a block. */
  private static double busy(Launch l) {
    return Math.min(1, l.grid().count() / (double) MULTIPROCESSORS);
  }

  /**
   * Of a batch the inner size is never split, so one block goes through all of it. A single product
   * of weights is split.
   */
  private double product(Launch l) {
    double time =
        value(Constant.PRODUCT)
            + (l.readBytes() + l.writtenBytes()) / (value(Constant.PRODUCT_SPEED) * COPY);
    if (unsplit(l)) {
      boolean hopper =
          l.call().contains("bf16") && l.sizes().get(0) % 8 + l.sizes().get(1) % 8 == 0;
      Constant step = hopper ? Constant.HOPPER_STEP : Constant.AMPERE_STEP;
      long waves = Math.ceilDiv(tiles(l), MULTIPROCESSORS);
      return time + waves * l.sizes().get(2) * value(step) / 1000;
    }
    boolean weights = l.family() == Family.POINTWISE_WEIGHTS || l.family() == Family.CLASSIFIER;
    return weights ? time + value(Constant.SPLIT) : time;
  }

  private static boolean unsplit(Launch l) {
    return l.family() == Family.GROUPED_WEIGHTS && l.sizes().get(3) > 1;
  }

  private static long tiles(Launch l) {
    return Math.ceilDiv(l.sizes().get(0), TILE_ROWS)
        * Math.ceilDiv(l.sizes().get(1), TILE_COLUMNS)
        * l.sizes().get(3);
  }

  /** Whether a launch leaves multiprocessors without a block, as far as its grid is known. */
  static boolean small(Launch l) {
    return l.grid() == null
        ? unsplit(l) && tiles(l) < MULTIPROCESSORS
        : l.grid().count() < MULTIPROCESSORS;
  }

  /**
   * From the best to the worst that may be expected. A kernel of the profiles, and a library's, has
   * one time. Another one takes at worst the fitted time of its kind by the worst kernel's ratio;
   * at best it moves its bytes at 0.85 of a copy after one round of loads.
   */
  Range range(Launch l) {
    double time = time(l);
    if (l.grid() == null || profiled.contains(l.call())) {
      return new Range(time, time);
    }
    double best =
        value(Constant.LAUNCH)
            + value(Constant.ROUND)
            + (l.readBytes() + l.writtenBytes()) / (HOPED_SHARE * COPY) / busy(l);
    double worst = time * Math.max(1, spreadOf(l.family()));
    return new Range(Math.min(best, worst), worst);
  }

  /** Of the family's own kernels; where it has no profile, of all families that are of its kind. */
  private double spreadOf(Family family) {
    Double own = spread.get(family);
    return own != null
        ? own
        : spread.entrySet().stream()
            .filter(e -> e.getKey().kind() == family.kind())
            .mapToDouble(Map.Entry::getValue)
            .max()
            .orElse(1);
  }

  /** Microseconds of a step by family. */
  Map<Family, Range> families(LaunchTable table) {
    Map<Family, Range> sums = new EnumMap<>(Family.class);
    table
        .counts()
        .forEach(
            (l, n) ->
                sums.merge(
                    l.family(),
                    new Range(0, 0).plus(range(l), n),
                    (before, more) -> before.plus(more, 1)));
    return sums;
  }

  /** Microseconds of a step. */
  Range total(LaunchTable table) {
    Range sum = new Range(0, 0);
    for (Range r : families(table).values()) {
      sum = sum.plus(r, 1);
    }
    return sum;
  }

  /** The share of a step's worst time that is in grids of fewer blocks than multiprocessors. */
  double smallShare(LaunchTable table) {
    double small = 0;
    for (Map.Entry<Launch, Integer> e : table.counts().entrySet()) {
      small += small(e.getKey()) ? e.getValue() * range(e.getKey()).high() : 0;
    }
    return small / total(table).high();
  }

  /** As the text that {@link #load} reads. */
  String text() {
    StringBuilder text =
        new StringBuilder(
            "# Written by io.fbnet.bench.gpu.FitCostModel from bench/results/h200.\n");
    constants.forEach(
        (c, v) ->
            text.append(
                String.format(
                    Locale.ROOT, "constant\t%s\t%.4g\t%s\t%s%n", c, v, c.unit, c.meaning)));
    spread.forEach(
        (family, v) -> text.append(String.format(Locale.ROOT, "spread\t%s\t%.3f%n", family, v)));
    new TreeSet<>(profiled).forEach(name -> text.append("profiled\t").append(name).append('\n'));
    return text.toString();
  }

  /** The committed model. */
  static CostModel load() {
    Map<Constant, Double> constants = new EnumMap<>(Constant.class);
    Map<Family, Double> spread = new EnumMap<>(Family.class);
    Set<String> profiled = new HashSet<>();
    for (String line : lines()) {
      String[] cells = line.split("\t", -1);
      switch (cells[0]) {
        case "constant" -> constants.put(Constant.valueOf(cells[1]), Double.valueOf(cells[2]));
        case "spread" -> spread.put(Family.valueOf(cells[1]), Double.valueOf(cells[2]));
        case "profiled" -> profiled.add(cells[1]);
        default -> {}
      }
    }
    return new CostModel(constants, spread, profiled);
  }

  private static List<String> lines() {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(
                CostModel.class.getResourceAsStream(RESOURCE), StandardCharsets.UTF_8))) {
      return reader.lines().toList();
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + RESOURCE, e);
    }
  }
}
