package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * What each strategy finds of the best network of NAS-Bench-Macro with at most the median's
 * multiply-adds. An evaluation reads one training's accuracy, the pick is the best seen, its regret
 * the best mean accuracy less its own, in points. Settings were chosen on the seeds from 10001 on;
 * these are 1 to 100.
 */
class OracleTest {
  private static final int[] EVALUATIONS = {50, 100, 200};

  /** Of Student's t at p = 0.01, one-sided, with 30 pairs or more. */
  private static final double CRITICAL = 2.47;

  private static Macro macro;
  private static double best;

  @BeforeAll
  static void load() {
    macro = Macro.load();
    best = inside().mapToDouble(i -> macro.mean[i]).max().orElseThrow();
  }

  private static IntStream inside() {
    return IntStream.range(0, macro.macs.length).filter(i -> macro.macs[i] <= Macro.MEDIAN);
  }

  /** Regrets in points, [evaluations][seed]. */
  private static double[][] regrets(Function<Problem, Controller> strategy, int seeds) {
    double[][] regrets = new double[EVALUATIONS.length][seeds];
    for (int seed = 1; seed <= seeds; seed++) {
      Controller controller = strategy.apply(macro.problem(seed));
      int pick = -1;
      for (int n = 1; n <= EVALUATIONS[2]; n++) {
        int[] choice = controller.propose().orElseThrow();
        int number = Macro.number(choice);
        assertTrue(macro.macs[number] <= Macro.MEDIAN, "outside the budget");
        controller.feedback(
            choice, macro.table.judge(choice).accuracy(), (double) macro.macs[number]);
        pick = pick < 0 || macro.first[number] > macro.first[pick] ? number : pick;
        for (int e = 0; e < EVALUATIONS.length; e++) {
          if (n == EVALUATIONS[e]) {
            regrets[e][seed - 1] = 100 * (best - macro.mean[pick]);
          }
        }
      }
    }
    return regrets;
  }

  private static double mean(double[] values) {
    return Arrays.stream(values).average().orElseThrow();
  }

  private static double standardError(double[] values) {
    double mean = mean(values);
    double squares = Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum();
    return Math.sqrt(squares / (values.length - 1) / values.length);
  }

  /** Student's t of the paired differences. */
  private static double t(double[] lower, double[] higher) {
    double[] differences = new double[lower.length];
    Arrays.setAll(differences, i -> higher[i] - lower[i]);
    return mean(differences) / standardError(differences);
  }

  /** The exact mean regret of the best of n uniform draws, none twice. */
  private static double expected(int draws) {
    Integer[] order =
        inside()
            .boxed()
            .sorted(Comparator.comparingDouble((Integer i) -> -macro.first[i]))
            .toArray(Integer[]::new);
    double sum = 0;
    double noneBefore = 1;
    int at = 0;
    while (at < order.length) {
      int end = at;
      double regret = 0;
      double none = noneBefore;
      for (; end < order.length && macro.first[order[end]] == macro.first[order[at]]; end++) {
        regret += 100 * (best - macro.mean[order[end]]);
        // That this one is not drawn either, given that those before it are not.
        none *= Math.max(0, 1 - (double) draws / (order.length - end));
      }
      // Of equals the first one seen is the pick, and any is as likely.
      sum += (noneBefore - none) * regret / (end - at);
      noneBefore = none;
      at = end;
    }
    return sum;
  }

  /** A row of the table, with Student's t of 200 evaluations against random draws. */
  private static void print(String name, double[][] regrets, String t) {
    StringBuilder line = new StringBuilder("| " + name);
    for (double[] one : regrets) {
      line.append(String.format(Locale.ROOT, " | %.3f ± %.3f", mean(one), standardError(one)));
    }
    System.out.println(line + " | " + t + " |");
  }

  private static double[][] row(
      String name, Function<Problem, Controller> strategy, double[][] random) {
    double[][] regrets = regrets(strategy, random[0].length);
    print(name, regrets, String.format(Locale.ROOT, "%.1f", t(regrets[2], random[2])));
    return regrets;
  }

  /** A policy that stays as it began: all that drawing layer by layer inside the budget does. */
  private static Controller untaught(Problem problem) {
    Learner none =
        new Learner() {
          @Override
          public void learn(int[] choice, double reward) {}

          @Override
          public ObjectNode state() {
            return JsonNodeFactory.instance.objectNode();
          }

          @Override
          public void restore(JsonNode state) {}
        };
    return new PolicySearch(
        problem,
        new Draws(problem.seed()),
        new IndependentLogits(problem),
        none,
        (accuracy, cost) -> accuracy);
  }

  /** Holds every strategy to what is asked of it; gives the regrets of random draws. */
  private static double[][] compare(int seeds) {
    double[][] random = regrets(Strategy.RANDOM::begin, seeds);
    print("random", random, "");
    for (int e = 0; e < EVALUATIONS.length; e++) {
      double away = mean(random[e]) - expected(EVALUATIONS[e]);
      assertTrue(Math.abs(away) <= 3 * standardError(random[e]), "random is off by " + away);
    }
    for (Strategy strategy : EnumSet.complementOf(EnumSet.of(Strategy.RANDOM))) {
      double[] regrets = row(strategy.word(), strategy::begin, random)[2];
      assertTrue(t(regrets, random[2]) >= CRITICAL, strategy + ": " + t(regrets, random[2]));
      double most =
          switch (strategy) {
            case EVOLUTION -> 0.12;
            case RANKED_EVOLUTION -> 0.08;
            default -> mean(random[2]);
          };
      assertTrue(mean(regrets) <= most, strategy + ": " + mean(regrets));
    }
    return random;
  }

  @Test
  void theFactsOfTheFile() {
    assertEquals(6561, macro.table.size());
    long[] sorted = macro.macs.clone();
    Arrays.sort(sorted);
    assertEquals(Macro.MEDIAN, sorted[3280]);
    assertEquals(3282, inside().count());
    assertEquals(3282, macro.range.size());
    assertEquals(92.3067, 100 * best, 1e-4);
    for (int i = 0; i < macro.macs.length; i++) {
      assertEquals(macro.macs[i] <= Macro.MEDIAN, macro.range.met(Macro.choice(i)));
    }
    // By a script of another language, of 400 seeds each, with a standard error of 0.009.
    assertEquals(0.327, expected(50), 0.027);
    assertEquals(0.257, expected(100), 0.027);
    assertEquals(0.198, expected(200), 0.027);
    assertEquals(0.020, expected(3282), 5e-4);
  }

  /** What helps a model of one number a layer and block, and is not so in every space. */
  @Test
  void accuraciesAreNearlySumsOverLayers() {
    Problem problem =
        new Problem(macro.space.allowed(), new Everything(), OptionalDouble.empty(), 1);
    History history = new History(problem);
    for (int i = 0; i < macro.mean.length; i++) {
      history.learn(Macro.choice(i), macro.mean[i], 0);
    }
    AdditiveModel model = AdditiveModel.fit(problem, history, 1e-3);
    double[] predicted =
        IntStream.range(0, macro.mean.length).mapToDouble(i -> model.of(Macro.choice(i))).toArray();
    long agreed = 0;
    long pairs = 0;
    for (int i = 0; i < predicted.length; i++) {
      for (int j = 0; j < i; j++) {
        double sign = (predicted[i] - predicted[j]) * (macro.mean[i] - macro.mean[j]);
        agreed += sign > 0 ? 1 : sign < 0 ? -1 : 0;
        pairs++;
      }
    }
    assertEquals(0.87, (double) agreed / pairs, 0.005);
  }

  private static final class Everything implements Feasible {
    @Override
    public boolean met(int[] choice) {
      return true;
    }

    @Override
    public boolean[] mayTake(int[] prefix, int layer) {
      return new boolean[] {true, true, true};
    }

    @Override
    public int[] uniform(long seed, long index) {
      throw new AssertionError("nothing is drawn");
    }
  }

  @Test
  void strategiesFindMoreThanRandomDraws() {
    compare(30);
  }

  /** The table of {@code bench/results/strategies.md}. */
  @Test
  @Tag("full")
  @Tag("sweep")
  void strategiesFindMoreThanRandomDrawsOverAHundredSeeds() {
    double[][] random = compare(100);
    double[] untaught = row("a policy untaught", OracleTest::untaught, random)[2];
    for (Strategy strategy : List.of(Strategy.REINFORCE, Strategy.RNN, Strategy.MNASNET)) {
      double t = t(regrets(strategy::begin, 100)[2], untaught);
      System.out.printf(Locale.ROOT, "%s against it: t = %.1f%n", strategy.word(), t);
      assertTrue(t >= CRITICAL, strategy + " is no better than untaught: t = " + t);
    }
    EvolutionSettings plain = EvolutionSettings.PLAIN;
    EvolutionSettings published =
        new EvolutionSettings(
            plain.initial(), plain.population(), plain.sample(), 0, plain.more(), 1, 1);
    row("evolution without crossover", p -> Controllers.evolution(p, published), random);
    row("reinforce, beta 0", p -> Controllers.reinforce(p, 0), random);
    row("mnasnet, hard form", p -> Controllers.mnasnet(p, 0, Controllers.HARD), random);
    for (int draws : EVALUATIONS) {
      System.out.printf(Locale.ROOT, "random, exact, %d: %.3f%n", draws, expected(draws));
    }
  }

  /** The counts in the file follow our rule, so the space and its block are the ones meant. */
  @Test
  void ourCountsAreTheFiles() {
    for (int i = 0; i < macro.macs.length; i += 41) {
      assertEquals(macro.macs[i], macro.counted(Macro.choice(i)), "network " + i);
    }
  }
}
