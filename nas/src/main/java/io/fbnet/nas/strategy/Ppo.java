package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;

/**
 * Proximal policy optimisation (arXiv 1707.06347) with every layer's choice as an action: after a
 * batch of rewards several steps along min(r * A, clip(r, 1 - c, 1 + c) * A), where r is what the
 * probability of an action has become by what it was, and A the reward in standard deviations above
 * the batch's mean.
 */
final class Ppo implements Learner {
  private final Problem problem;
  private final Policy policy;
  private final Adam adam;
  private final int batch;
  private final int passes;
  private final double clip;
  private final double entropy;
  private final List<int[]> choices = new ArrayList<>();
  private final List<Double> rewards = new ArrayList<>();

  Ppo(
      Problem problem,
      Policy policy,
      double rate,
      int batch,
      int passes,
      double clip,
      double entropy) {
    this.problem = problem;
    this.policy = policy;
    this.batch = batch;
    this.passes = passes;
    this.clip = clip;
    this.entropy = entropy;
    adam = new Adam(policy.parameters(), rate);
  }

  @Override
  public void learn(int[] choice, double reward) {
    choices.add(choice.clone());
    rewards.add(reward);
    if (choices.size() == batch) {
      update();
      choices.clear();
      rewards.clear();
    }
  }

  private void update() {
    double[] advantages = advantages();
    double[][] before = new double[batch][problem.layers()];
    for (int pass = 0; pass < passes; pass++) {
      double[] gradient = new double[policy.parameters().length];
      for (int i = 0; i < batch; i++) {
        Passage path = Passage.along(problem, policy, choices.get(i));
        double[] weights = new double[problem.layers()];
        for (int l = 0; l < weights.length; l++) {
          before[i][l] = pass == 0 ? path.probability(l) : before[i][l];
          double ratio = path.probability(l) / before[i][l];
          boolean clipped = advantages[i] > 0 ? ratio > 1 + clip : ratio < 1 - clip;
          weights[l] = clipped ? 0 : ratio * advantages[i] / batch;
        }
        path.backward(weights, entropy / batch, gradient);
      }
      adam.step(gradient);
    }
  }

  private double[] advantages() {
    double mean = rewards.stream().mapToDouble(r -> r).average().orElseThrow();
    double square = rewards.stream().mapToDouble(r -> (r - mean) * (r - mean)).sum() / batch;
    double deviation = Math.sqrt(square) + 1e-12;
    return rewards.stream().mapToDouble(r -> (r - mean) / deviation).toArray();
  }

  @Override
  public ObjectNode state() {
    ObjectNode state = adam.state();
    ArrayNode waiting = state.putArray("waiting");
    for (int i = 0; i < choices.size(); i++) {
      waiting.add(History.json(choices.get(i)).add(rewards.get(i)));
    }
    return state;
  }

  @Override
  public void restore(JsonNode state) {
    adam.restore(state);
    choices.clear();
    rewards.clear();
    for (JsonNode entry : state.path("waiting")) {
      choices.add(History.choice(entry, problem));
      rewards.add(entry.path(problem.layers()).asDouble());
    }
  }
}
