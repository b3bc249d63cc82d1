package io.fbnet.nas.examples;

// Example begins
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fbnet.nas.search.PathSampling;
import io.fbnet.nas.search.SearchStrategy;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Problem;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** Changes one layer of the best network so far, and draws anew where that gives nothing new. */
public final class HillClimb implements Controller {
  /** The supernet is trained by one uniform path a step. */
  public static final SearchStrategy STRATEGY =
      SearchStrategy.byPaths("hill-climb", PathSampling.UNIFORM, HillClimb::new);

  private final Problem problem;
  private final Set<String> proposed = new HashSet<>();
  private int[] best;
  private double accuracy = -1;
  private long draws;

  private HillClimb(Problem problem) {
    this.problem = problem;
  }

  @Override
  public Optional<int[]> propose() {
    for (int tries = 0; tries < 10_000; tries++) {
      int[] choice = problem.feasible().uniform(problem.seed(), draws++);
      if (best != null && tries < 1000) {
        int layer = (int) (draws % choice.length);
        int candidate = choice[layer];
        choice = best.clone();
        choice[layer] = candidate;
      }
      if (problem.feasible().met(choice) && proposed.add(Arrays.toString(choice))) {
        return Optional.of(choice);
      }
    }
    return Optional.empty();
  }

  @Override
  public void feedback(int[] choice, double found, double cost) {
    if (found > accuracy) {
      best = choice.clone();
      accuracy = found;
    }
  }

  @Override
  public ObjectNode state() {
    ObjectNode state = JsonNodeFactory.instance.objectNode();
    state.put("draws", draws).put("accuracy", accuracy).putPOJO("best", best);
    return state.putPOJO("proposed", proposed);
  }

  @Override
  public void restore(JsonNode state) {
    draws = state.path("draws").asLong();
    accuracy = state.path("accuracy").asDouble();
    state.path("proposed").forEach(choice -> proposed.add(choice.asText()));
    JsonNode of = state.path("best");
    best = of.isArray() ? new int[of.size()] : null;
    for (int l = 0; l < of.size(); l++) {
      best[l] = of.get(l).asInt();
    }
  }
}
// Example ends
