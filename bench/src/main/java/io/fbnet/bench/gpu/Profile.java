package io.fbnet.bench.gpu;

import io.fbnet.engine.backend.Launch;
import io.fbnet.engine.backend.Launch.Family;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A step's profile beside its launch table: what each group of launches took together. A kernel of
 * ours is found by name and grid; what a library ran for its calls is only known by family.
 *
 * @param name of the case
 * @param groups of launches, with the time measured
 */
record Profile(String name, List<Group> groups) {
  /**
   * Launches that a profile has in one row.
   *
   * @param family of all of them
   * @param launches with their counts
   * @param microseconds of all of them in a step
   */
  record Group(Family family, Map<Launch, Integer> launches, double microseconds) {
    double time(CostModel model) {
      return launches.entrySet().stream()
          .mapToDouble(e -> e.getValue() * model.time(e.getKey()))
          .sum();
    }
  }

  private record Key(String call, String grid) {}

  /**
   * Reads {@code profile-NAME.tsv} (family, kernel, grid, calls and microseconds of a step) and
   * {@code launches-NAME.tsv}.
   *
   * @throws IllegalArgumentException where a kernel of one is not in the other as often
   */
  static Profile read(Path folder, String name) {
    Map<Key, Map<Launch, Integer>> launches = new LinkedHashMap<>();
    LaunchTable.read(folder.resolve("launches-" + name + ".tsv"))
        .counts()
        .forEach(
            (l, n) -> {
              boolean library = l.grid() == null;
              Family family = l.family() == Family.CLASSIFIER ? Family.CONVOLUTION : l.family();
              Key key =
                  new Key(library ? family.name() : l.call(), library ? "-" : l.grid().toString());
              launches.computeIfAbsent(key, none -> new LinkedHashMap<>()).put(l, n);
            });
    Map<Key, double[]> measured = new LinkedHashMap<>();
    for (String line : LaunchTable.lines(folder.resolve("profile-" + name + ".tsv"))) {
      String[] cells = line.split("\t", -1);
      boolean library = !cells[0].equals("OURS");
      Key key = new Key(library ? cells[0] : cells[1], library ? "-" : cells[2]);
      double[] sum = measured.computeIfAbsent(key, none -> new double[2]);
      sum[0] += Double.parseDouble(cells[3]);
      sum[1] += Double.parseDouble(cells[4]);
    }
    List<Group> groups = new ArrayList<>();
    launches.forEach(
        (key, rows) -> {
          double[] sum = measured.get(key);
          Family family = rows.keySet().iterator().next().family();
          int calls = rows.values().stream().mapToInt(Integer::intValue).sum();
          if (sum == null || (!key.grid().equals("-") && Math.round(sum[0]) != calls)) {
            throw new IllegalArgumentException(
                String.format(
                    Locale.ROOT,
                    "%s: %s with grid %s is launched %d times and was profiled %s times",
                    name,
                    key.call(),
                    key.grid(),
                    calls,
                    sum == null ? 0 : sum[0]));
          }
          groups.add(new Group(family, rows, sum[1]));
        });
    return new Profile(name, groups);
  }

  double microseconds() {
    return groups.stream().mapToDouble(Group::microseconds).sum();
  }
}
