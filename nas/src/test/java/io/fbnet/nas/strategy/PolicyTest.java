package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Gradients of the policies by hand, against finite differences. */
class PolicyTest {
  private static final double STEP = 1e-6;
  private final Problem problem = Synthetic.problem(1);

  /** Parameters as they are after learning: nowhere small, nowhere equal. */
  private static <P extends Policy> P spread(P policy, long seed) {
    Draws draws = new Draws(seed);
    double[] parameters = policy.parameters();
    for (int i = 0; i < parameters.length; i++) {
      parameters[i] = 1.6 * draws.number() - 0.8;
    }
    return policy;
  }

  private List<Policy> policies(long seed) {
    return List.of(
        spread(new IndependentLogits(problem), seed),
        spread(new Lstm(problem, 5, new Draws(seed)), seed));
  }

  /** What {@link Passage#backward} is the gradient of, by its definition. */
  private double objective(Policy policy, int[] choice, double[] weights, double entropy) {
    Policy.Walk walk = policy.begin();
    double sum = 0;
    for (int l = 0; l < choice.length; l++) {
      double[] logits = walk.logits();
      boolean[] may = problem.feasible().mayTake(choice, l);
      double total = 0;
      for (int k = 0; k < logits.length; k++) {
        total += may[k] ? Math.exp(logits[k]) : 0;
      }
      for (int k = 0; k < logits.length; k++) {
        double log = logits[k] - Math.log(total);
        sum -= may[k] ? entropy * Math.exp(log) * log : 0;
        sum += k == choice[l] ? weights[l] * log : 0;
      }
      walk.take(choice[l]);
    }
    return sum;
  }

  @Test
  void gradientsAreThoseOfFiniteDifferences() {
    double[] weights = {0.7, -1.3, 0.2, 0, 2.1, -0.4, 1.1};
    for (long seed = 11; seed <= 14; seed++) {
      int[] choice = problem.feasible().uniform(seed, 0);
      for (Policy policy : policies(seed)) {
        double[] gradient = new double[policy.parameters().length];
        Passage.along(problem, policy, choice).backward(weights, 0.4, gradient);
        for (int i = 0; i < gradient.length; i++) {
          double kept = policy.parameters()[i];
          policy.parameters()[i] = kept + STEP;
          double up = objective(policy, choice, weights, 0.4);
          policy.parameters()[i] = kept - STEP;
          double down = objective(policy, choice, weights, 0.4);
          policy.parameters()[i] = kept;
          assertEquals(
              (up - down) / (2 * STEP),
              gradient[i],
              1e-7,
              "seed " + seed + ", " + policy.getClass().getSimpleName() + ", parameter " + i);
        }
        assertTrue(Arrays.stream(gradient).filter(g -> Math.abs(g) > 1e-4).count() >= 9);
      }
    }
  }

  @Test
  void drawsComeAsOftenAsTheirProbabilitiesSayAndNeverFromOutside() {
    long seed = 31;
    for (Policy policy : policies(seed)) {
      int[][] inside =
          Arrays.stream(Synthetic.all()).filter(Synthetic::inside).toArray(int[][]::new);
      double[] expected = new double[inside.length];
      for (int i = 0; i < inside.length; i++) {
        Passage passage = Passage.along(problem, policy, inside[i]);
        expected[i] = 1;
        for (int l = 0; l < inside[i].length; l++) {
          expected[i] *= passage.probability(l);
        }
      }
      assertEquals(1, Arrays.stream(expected).sum(), 1e-12);
      Draws draws = new Draws(seed);
      int count = 40_000;
      double[] found = new double[inside.length];
      for (int d = 0; d < count; d++) {
        int[] choice = Passage.draw(problem, policy, draws, 1).choice();
        assertTrue(Synthetic.inside(choice));
        for (int i = 0; i < inside.length; i++) {
          found[i] += Arrays.equals(inside[i], choice) ? 1 : 0;
        }
      }
      for (int i = 0; i < inside.length; i++) {
        double deviation = Math.sqrt(count * expected[i]) + 1;
        assertEquals(count * expected[i], found[i], 4.5 * deviation, "seed " + seed);
      }
    }
  }

  @Test
  void anAdditiveModelFindsWhatIsAdditive() {
    History history = new History(problem);
    int known = 0;
    for (int[] choice : Synthetic.all()) {
      if (Synthetic.inside(choice) && known++ % 2 == 0) {
        history.learn(choice, 0.5 + 0.01 * Synthetic.cost(choice), Synthetic.cost(choice));
      }
    }
    AdditiveModel model = AdditiveModel.fit(problem, history, 1e-6);
    for (int[] choice : Synthetic.all()) {
      if (Synthetic.inside(choice)) {
        assertEquals(0.5 + 0.01 * Synthetic.cost(choice), model.of(choice), 1e-4);
      }
    }
  }

  /** Two steps by hand: the first moves every parameter by the rate. */
  @Test
  void adamIsAdam() {
    double[] parameters = {1, 2};
    Adam adam = new Adam(parameters, 0.1);
    adam.step(new double[] {3, -0.5});
    assertArrayEquals(new double[] {1.1, 1.9}, parameters, 1e-7);
    adam.step(new double[] {-1, -0.5});
    double first = (0.9 * 0.1 * 3 - 0.1) / (1 - 0.81);
    double second = (0.999 * 0.001 * 9 + 0.001) / (1 - 0.999 * 0.999);
    assertArrayEquals(new double[] {1.1 + 0.1 * first / Math.sqrt(second), 1.8}, parameters, 1e-7);
  }
}
