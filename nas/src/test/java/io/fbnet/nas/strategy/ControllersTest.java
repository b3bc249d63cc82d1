package io.fbnet.nas.strategy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.ExitCode;
import io.fbnet.nas.Refusals;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What all strategies hold to. */
class ControllersTest {
  private static void judge(Controller controller, int[] choice) {
    controller.feedback(choice, Synthetic.accuracy(choice), Synthetic.cost(choice));
  }

  @ParameterizedTest
  @EnumSource
  void everyNetworkInsideComesOnceAndThenNone(Strategy strategy) {
    Controller controller = strategy.begin(Synthetic.problem(3));
    Set<List<Integer>> seen = new HashSet<>();
    Optional<int[]> choice = controller.propose();
    while (choice.isPresent()) {
      assertTrue(Synthetic.inside(choice.get()));
      assertTrue(seen.add(Arrays.stream(choice.get()).boxed().toList()), "a second time");
      judge(controller, choice.get());
      choice = controller.propose();
    }
    assertEquals(Synthetic.range().size(), seen.size());
  }

  /** Three networks are always under way, so that what was proposed and not judged is kept too. */
  @ParameterizedTest
  @EnumSource
  void aRestoredOneGoesOnWithTheSameBits(Strategy strategy) {
    Controller whole = strategy.begin(Synthetic.problem(5));
    Deque<int[]> waiting = new ArrayDeque<>();
    for (int i = 0; i < 3; i++) {
      waiting.add(whole.propose().orElseThrow());
    }
    Controller parts = whole;
    for (int i = 0; i < 60; i++) {
      if (i >= 20 && i % 7 == 0) {
        String state = parts.state();
        parts = strategy.begin(Synthetic.problem(5));
        parts.propose(); // of a used one nothing may remain
        parts.restore(state);
      } else if (i == 20) {
        parts = strategy.begin(Synthetic.problem(5));
        parts.restore(whole.state());
      }
      int[] judged = waiting.remove();
      judge(whole, judged);
      int[] next = whole.propose().orElseThrow();
      if (i >= 20) {
        judge(parts, judged);
        assertArrayEquals(next, parts.propose().orElseThrow(), "after " + i);
        assertEquals(whole.state(), parts.state());
      }
      waiting.add(next);
    }
  }

  @ParameterizedTest
  @EnumSource
  void equalSeedsGiveEqualProposals(Strategy strategy) {
    List<List<Integer>> one = first(strategy, 8);
    assertEquals(one, first(strategy, 8));
    assertFalse(one.equals(first(strategy, 9)));
  }

  private static List<List<Integer>> first(Strategy strategy, long seed) {
    Controller controller = strategy.begin(Synthetic.problem(seed));
    List<List<Integer>> proposed = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      int[] choice = controller.propose().orElseThrow();
      proposed.add(Arrays.stream(choice).boxed().toList());
      judge(controller, choice);
    }
    return proposed;
  }

  /**
   * Where the oracle is not at hand this still tells a strategy that learns from one that does not.
   */
  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "RANDOM")
  void whatIsLearntMakesProposalsBetter(Strategy strategy) {
    double learnt = 0;
    double drawn = 0;
    int seeds = 20;
    for (long seed = 1; seed <= seeds; seed++) {
      learnt += late(strategy, seed);
      drawn += late(Strategy.RANDOM, seed);
    }
    // The spread of a network's accuracy is 0.03, so that of these means 0.0015.
    assertTrue(
        learnt / seeds > drawn / seeds + 0.01,
        "seeds 1 to " + seeds + ": " + learnt / seeds + " against " + drawn / seeds);
  }

  /** The mean accuracy of the proposals 61 to 100, of hundreds that there are. */
  private static double late(Strategy strategy, long seed) {
    Controller controller = strategy.begin(Synthetic.problem(seed));
    double sum = 0;
    for (int i = 1; i <= 100; i++) {
      int[] choice = controller.propose().orElseThrow();
      judge(controller, choice);
      sum += i > 60 ? Synthetic.accuracy(choice) : 0;
    }
    return sum / 40;
  }

  @ParameterizedTest
  @EnumSource
  void wrongFeedbackIsRefused(Strategy strategy) {
    Controller controller = strategy.begin(Synthetic.problem(1));
    int[] choice = controller.propose().orElseThrow();
    int[] outside = {2, 1, 1, 1, 1, 0, 0};
    refused(() -> controller.feedback(outside, 0.5, 20), "outside the budget");
    refused(() -> controller.feedback(new int[] {0}, 0.5, 20), "outside the budget");
    refused(() -> controller.feedback(choice, 50, 20), "accuracy is 0 to 1");
    refused(() -> controller.feedback(choice, Double.NaN, 20), "accuracy is 0 to 1");
    refused(() -> controller.feedback(choice, 0.5, Double.NaN), "cost is above 0");
    controller.feedback(choice, 0.5, 20);
  }

  @ParameterizedTest
  @EnumSource
  void withoutATargetCostsAreNotRead(Strategy strategy) {
    Problem problem =
        new Problem(Synthetic.allowed(), Synthetic.range(), OptionalDouble.empty(), 4);
    Controller controller = strategy.begin(problem);
    for (int i = 0; i < 40; i++) {
      int[] choice = controller.propose().orElseThrow();
      controller.feedback(choice, Synthetic.accuracy(choice), Double.NaN);
    }
    Controller other = strategy.begin(problem);
    other.restore(controller.state());
    assertArrayEquals(controller.propose().orElseThrow(), other.propose().orElseThrow());
  }

  @ParameterizedTest
  @EnumSource
  void aStateOfAnotherSpaceIsRefused(Strategy strategy) {
    Controller controller = strategy.begin(Synthetic.problem(1));
    judge(controller, controller.propose().orElseThrow());
    String state = controller.state();
    boolean[][] fewer = {{true}, {true}};
    Problem other =
        new Problem(
            fewer, new SumRange(new long[][] {{1}, {1}}, fewer, 0, 2), OptionalDouble.of(2), 1);
    refused(() -> strategy.begin(other).restore(state), "state is of another space");
    refused(() -> strategy.begin(other).restore("{}"), "no state of");
    refused(() -> strategy.begin(other).restore("{"), "no state of");
  }

  private static void refused(org.junit.jupiter.api.function.Executable action, String words) {
    String message = assertThrows(IllegalArgumentException.class, action).getMessage();
    assertTrue(message.contains(words), message);
  }

  @Test
  void strategiesHaveNames() {
    for (Strategy strategy : Strategy.values()) {
      assertEquals(strategy, Strategy.of(strategy.word()));
    }
    Refusals.refused(ExitCode.USAGE, () -> Strategy.of("evolutoin"), "did you mean 'evolution'");
    assertThrows(
        IllegalArgumentException.class, () -> Controllers.reinforce(Synthetic.problem(1), 0.1));
    assertThrows(
        IllegalArgumentException.class, () -> Controllers.mnasnet(Synthetic.problem(1), 0, 0.1));
  }

  /**
   * A prefix of equal accuracies: rewards without any spread must not make numbers of no number.
   */
  @ParameterizedTest
  @EnumSource
  void equalAccuraciesAreBorne(Strategy strategy) {
    Controller controller = strategy.begin(Synthetic.problem(2));
    for (int i = 0; i < 40; i++) {
      int[] choice = controller.propose().orElseThrow();
      controller.feedback(choice, 0.1, 20);
    }
    assertFalse(controller.state().contains("NaN"));
  }
}
