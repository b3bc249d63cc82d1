package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Optional;

/**
 * Proposes what a policy draws and teaches the policy what it was worth. A draw of a network that
 * was judged before costs nothing: the policy hears its reward again, and others are drawn, their
 * logits divided by a temperature that rises from draw to draw, until one comes that is new.
 */
final class PolicySearch extends JsonController {
  private static final double WARMING = 1.1;

  /** Enough for a temperature at which every candidate is as likely as any other. */
  private static final int DRAWS = 200;

  /** What a judged network is worth. */
  @FunctionalInterface
  interface Reward {
    double of(double accuracy, double cost);
  }

  private final Problem problem;
  private final History history;
  private final Draws draws;
  private final Policy policy;
  private final Learner learner;
  private final Reward reward;

  PolicySearch(Problem problem, Draws draws, Policy policy, Learner learner, Reward reward) {
    this.problem = problem;
    this.draws = draws;
    this.policy = policy;
    this.learner = learner;
    this.reward = reward;
    history = new History(problem);
  }

  @Override
  public Optional<int[]> propose() {
    Optional<int[]> found = Optional.empty();
    for (int i = 0; i < DRAWS && found.isEmpty(); i++) {
      double temperature = Math.pow(WARMING, i);
      int[] choice = Passage.draw(problem, policy, draws, temperature).choice();
      if (!history.has(choice)) {
        found = Optional.of(choice);
      } else if (i == 0) {
        history.of(choice).ifPresent(r -> learner.learn(choice, reward.of(r.accuracy(), r.cost())));
      }
    }
    Optional<int[]> choice = found.isPresent() ? found : history.unknown(draws);
    choice.ifPresent(history::propose);
    return choice;
  }

  @Override
  public void feedback(int[] choice, double accuracy, double cost) {
    history.learn(choice, accuracy, cost);
    learner.learn(choice, reward.of(accuracy, cost));
  }

  @Override
  ObjectNode tree() {
    ObjectNode state = JsonNodeFactory.instance.objectNode();
    state.put("place", draws.place()).set("history", history.state());
    state.set("learner", learner.state());
    return state;
  }

  @Override
  void restore(JsonNode state) {
    draws.restore(state);
    history.restore(state.path("history"));
    learner.restore(state.path("learner"));
  }
}
