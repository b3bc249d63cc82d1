package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Optional;

/** Proposes what was not proposed before, any network inside the budget as likely as any other. */
final class UniformDraws extends JsonController {
  private final History history;
  private final Draws draws;

  UniformDraws(Problem problem) {
    history = new History(problem);
    draws = new Draws(problem.seed());
  }

  @Override
  public Optional<int[]> propose() {
    Optional<int[]> choice = history.unknown(draws);
    choice.ifPresent(history::propose);
    return choice;
  }

  @Override
  public void feedback(int[] choice, double accuracy, double cost) {
    history.learn(choice, accuracy, cost);
  }

  @Override
  ObjectNode tree() {
    ObjectNode state = JsonNodeFactory.instance.objectNode();
    state.put("place", draws.place()).set("history", history.state());
    return state;
  }

  @Override
  void restore(JsonNode state) {
    draws.restore(state);
    history.restore(state.path("history"));
  }
}
