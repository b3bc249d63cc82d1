package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * REINFORCE (Williams 1992): after every reward one step along (reward - baseline) * the gradient
 * of the network's log-probability, and of the entropy where it has a weight. The baseline is the
 * mean of the first rewards, then a moving average of momentum 0.95.
 */
final class Reinforce implements Learner {
  private static final double MOMENTUM = 0.95;

  private final Problem problem;
  private final Policy policy;
  private final Adam adam;
  private final double entropy;
  private long rewards;
  private double baseline;
  private double square;

  /**
   * Begins.
   *
   * @param entropy weight of the entropy of a layer's choice in nats, if advantages are in standard
   *     deviations of the rewards
   */
  Reinforce(Problem problem, Policy policy, double rate, double entropy) {
    this.problem = problem;
    this.policy = policy;
    this.entropy = entropy;
    adam = new Adam(policy.parameters(), rate);
  }

  @Override
  public void learn(int[] choice, double reward) {
    rewards++;
    double share = Math.max(1 - MOMENTUM, 1.0 / rewards);
    double difference = reward - baseline;
    baseline += share * difference;
    square = (1 - share) * (square + share * difference * difference);
    if (rewards > 1) {
      double[] gradient = new double[policy.parameters().length];
      double deviation = Math.sqrt(square) + 1e-12;
      Passage.along(problem, policy, choice).backward(difference / deviation, entropy, gradient);
      adam.step(gradient);
    }
  }

  @Override
  public ObjectNode state() {
    ObjectNode state = adam.state();
    state.put("rewards", rewards).put("baseline", baseline).put("square", square);
    return state;
  }

  @Override
  public void restore(JsonNode state) {
    adam.restore(state);
    rewards = state.path("rewards").asLong();
    baseline = state.path("baseline").asDouble();
    square = state.path("square").asDouble();
  }
}
