package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Family;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/**
 * Fits {@link CostModel} to the profiles of two steps and shows what it predicts for the others.
 *
 * <p>Arguments: {@code --data FOLDER} of profiles and launch tables, {@code --out FILE} of the
 * model (none: it is only shown).
 */
public final class FitCostModel {
  private static final List<String> FITTED = List.of("cifar-32-bf16-w", "imagenet-32-bf16-w");
  private static final List<String> PREDICTED =
      List.of("cifar-32-bf16-theta", "cifar-32-tf32-w", "cifar-256-bf16-w");

  /** Halvings of the step of the search, from a factor of 1.5 to one of 1.0004. */
  private static final int HALVINGS = 10;

  private static final int MOST_SWEEPS = 400;

  private final Path data;
  private final List<Profile> fitted;

  private FitCostModel(Path data) {
    this.data = data;
    fitted = FITTED.stream().map(name -> Profile.read(data, name)).toList();
  }

  /** Fits and shows. */
  public static void main(String[] arguments) {
    Options options = new Options(arguments, List.of("data", "out"));
    FitCostModel fit = new FitCostModel(Path.of(options.text("data", "bench/results/h200")));
    CostModel model = fit.model();
    System.out.print(model.text().replaceAll("profiled\t.*\n", ""));
    fit.fitted.forEach(profile -> show(profile, model, "fitted"));
    PREDICTED.forEach(name -> show(Profile.read(fit.data, name), model, "predicted"));
    fit.showSteps(model);
    if (options.has("out")) {
      try {
        Files.writeString(Path.of(options.text("out", "")), model.text());
      } catch (IOException e) {
        throw new UncheckedIOException("cannot write the model", e);
      }
    }
  }

  private CostModel model() {
    Map<Constant, Double> constants = new EnumMap<>(Constant.class);
    for (Constant c : Constant.values()) {
      constants.put(c, c.start);
    }
    CostModel model = new CostModel(constants, Map.of(), Set.of());
    double cost = cost(model);
    double factor = 1.5;
    // One constant after the other, up or down, until none helps; then in steps half as large.
    for (int halving = 0; halving < HALVINGS; halving++) {
      boolean better = true;
      for (int sweep = 0; better && sweep < MOST_SWEEPS; sweep++) {
        better = false;
        for (Constant c : Constant.values()) {
          for (double by : new double[] {factor, 1 / factor}) {
            double before = constants.get(c);
            constants.put(c, before * by);
            double now = cost(model);
            if (now < cost) {
              cost = now;
              better = true;
            } else {
              constants.put(c, before);
            }
          }
        }
      }
      factor = Math.sqrt(factor);
    }
    Set<String> profiled = new HashSet<>();
    fitted.forEach(
        profile ->
            profile.groups().stream()
                .flatMap(group -> group.launches().keySet().stream())
                .filter(launch -> launch.grid() != null)
                .forEach(launch -> profiled.add(launch.call())));
    LaunchTable.lines(data.resolve("rewritten.tsv")).forEach(profiled::remove);
    return new CostModel(constants, spread(model), profiled);
  }

  /**
   * The sum over groups of the logarithm of predicted over measured, squared near 0 and absolute
   * far from it so that a few odd kernels do not rule, each by its time.
   */
  private double cost(CostModel model) {
    double sum = 0;
    for (Profile profile : fitted) {
      for (Profile.Group group : profile.groups()) {
        double log = Math.log(group.time(model) / group.microseconds());
        sum += Math.sqrt(1 + group.microseconds() * log * log) - 1;
      }
    }
    return sum;
  }

  /** For each family of kernels of ours, measured over predicted of the worst kernel. */
  private Map<Family, Double> spread(CostModel model) {
    Map<String, double[]> sums = new HashMap<>();
    Map<String, Family> families = new HashMap<>();
    for (Profile profile : fitted) {
      for (Profile.Group group : profile.groups()) {
        Launch one = group.launches().keySet().iterator().next();
        if (one.grid() != null) {
          double[] sum = sums.computeIfAbsent(one.call(), none -> new double[2]);
          sum[0] += group.microseconds();
          sum[1] += group.time(model);
          families.put(one.call(), group.family());
        }
      }
    }
    Map<Family, Double> spread = new EnumMap<>(Family.class);
    sums.forEach((call, sum) -> spread.merge(families.get(call), sum[0] / sum[1], Math::max));
    return spread;
  }

  private static void show(Profile profile, CostModel model, String how) {
    System.out.printf("%n| %s, %s | measured, ms | model, ms | error |%n", profile.name(), how);
    System.out.println("| --- | --- | --- | --- |");
    ToDoubleFunction<Profile.Group> predicted = group -> group.time(model);
    for (Family family : Family.values()) {
      List<Profile.Group> groups =
          profile.groups().stream().filter(group -> group.family() == family).toList();
      if (!groups.isEmpty()) {
        line(
            family.title(),
            groups.stream().mapToDouble(Profile.Group::microseconds).sum(),
            groups.stream().mapToDouble(predicted).sum());
      }
    }
    line(
        "**the step**",
        profile.microseconds(),
        profile.groups().stream().mapToDouble(predicted).sum());
  }

  private static void line(String what, double measured, double predicted) {
    System.out.printf(
        Locale.ROOT,
        "| %s | %.2f | %.2f | %+.0f%% |%n",
        what,
        measured / 1000,
        predicted / 1000,
        100 * (predicted / measured - 1));
  }

  /** Steps of which only the whole was timed. */
  private void showSteps(CostModel model) {
    System.out.printf("%n| step, by events on the device | measured, ms | model, ms | error |%n");
    System.out.println("| --- | --- | --- | --- |");
    for (String step : LaunchTable.lines(data.resolve("steps.tsv"))) {
      String[] cells = step.split("\t", -1);
      LaunchTable table = LaunchTable.read(data.resolve("launches-" + cells[0] + ".tsv"));
      double predicted =
          table.counts().entrySet().stream()
              .mapToDouble(e -> e.getValue() * model.time(e.getKey()))
              .sum();
      line(cells[0], 1000 * Double.parseDouble(cells[1]), predicted);
    }
  }
}
