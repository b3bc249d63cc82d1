package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** How a policy is changed by rewards. */
interface Learner {
  /** Hears what a network that the policy drew is worth. */
  void learn(int[] choice, double reward);

  /** Of the policy too. */
  ObjectNode state();

  void restore(JsonNode state);
}
