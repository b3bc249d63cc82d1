package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.OptionalDouble;

/** NAS-Bench-Macro: true accuracies of all networks of a small space, where they are at hand. */
final class Macro {
  static final Path FILE = Path.of("..", "..", "shared", "oracle", "nas-bench-macro-cifar10.json");
  static final long MEDIAN = 55_398_912;

  final SearchSpace space = SearchSpace.load("../docs/examples/nas-bench-macro.yaml");
  final AccuracyTable table = AccuracyTable.load(FILE, space);

  /** By the number of a network: its choice as a number of base 3. */
  final double[] first = new double[6561];

  final double[] mean = new double[6561];
  final long[] macs = new long[6561];
  final SumRange range;

  private Macro() {
    for (int i = 0; i < macs.length; i++) {
      AccuracyTable.Entry entry = table.entry(choice(i));
      first[i] = entry.accuracy();
      mean[i] = entry.mean();
      macs[i] = entry.networkMacs().orElseThrow();
    }
    long[][] costs = new long[8][3];
    for (int l = 0; l < 8; l++) {
      for (int k = 0; k < 3; k++) {
        int[] choice = new int[8];
        choice[l] = k;
        costs[l][k] = macs[number(choice)] - macs[0];
      }
    }
    range = new SumRange(costs, space.allowed(), 0, MEDIAN - macs[0]);
  }

  /** Skips the test, aloud, where the file is not beside the project. */
  static Macro load() {
    if (!Files.isRegularFile(FILE)) {
      System.out.println("skipped: NAS-Bench-Macro is not at " + FILE.toAbsolutePath().normalize());
    }
    assumeTrue(Files.isRegularFile(FILE), "NAS-Bench-Macro is not beside the project");
    return new Macro();
  }

  static int[] choice(int number) {
    int[] choice = new int[8];
    int rest = number;
    for (int l = 7; l >= 0; l--) {
      choice[l] = rest % 3;
      rest /= 3;
    }
    return choice;
  }

  static int number(int[] choice) {
    return Arrays.stream(choice).reduce(0, (n, k) -> 3 * n + k);
  }

  /** Multiply-adds by our counting rule. */
  long counted(int[] choice) {
    return Description.of(Architecture.of("", space, choice)).macs();
  }

  Problem problem(long seed) {
    return new Problem(space.allowed(), range, OptionalDouble.of((double) MEDIAN), seed);
  }
}
