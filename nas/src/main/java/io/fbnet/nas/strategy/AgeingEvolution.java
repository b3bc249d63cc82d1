package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayDeque;
import java.util.Optional;

/**
 * Ageing evolution (Real et al. 2019, arXiv 1802.01548): the best of a few members of the
 * population, drawn with replacement, is mutated, the mutant joins and the oldest leaves. Beyond
 * the paper, a share of the offspring cross two such parents (as in Single Path One-Shot, arXiv
 * 1904.00420), no network is judged twice, and every one is inside the budget. With a model the one
 * of several offspring is proposed of which {@link AdditiveModel} expects most.
 */
final class AgeingEvolution extends JsonController {
  /** Tries of an offspring before one more of its layers is changed. */
  private static final int TRIES = 32;

  private final Problem problem;
  private final EvolutionSettings settings;
  private final History history;
  private final Draws draws;
  private final ArrayDeque<Member> population = new ArrayDeque<>();
  private long begun;

  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Member(int[] choice, double accuracy) {}

  AgeingEvolution(Problem problem, EvolutionSettings settings) {
    this.problem = problem;
    this.settings = settings;
    history = new History(problem);
    draws = new Draws(problem.seed());
  }

  @Override
  public Optional<int[]> propose() {
    Optional<int[]> choice =
        begun < settings.initial() || population.isEmpty() ? history.unknown(draws) : offspring();
    begun++;
    choice.ifPresent(history::propose);
    return choice;
  }

  private Optional<int[]> offspring() {
    if (settings.mutants() == 1) {
      return descendant();
    }
    AdditiveModel model = AdditiveModel.fit(problem, history, settings.ridge());
    Optional<int[]> best = Optional.empty();
    double highest = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < settings.mutants(); i++) {
      Optional<int[]> choice = descendant();
      if (choice.isPresent() && model.of(choice.get()) > highest) {
        highest = model.of(choice.get());
        best = choice;
      }
    }
    return best;
  }

  /** A network inside the budget that was not proposed, near to a good one. */
  private Optional<int[]> descendant() {
    Member parent = parent();
    for (int tries = 0; tries < TRIES * problem.layers(); tries++) {
      int changes = tries / TRIES;
      int[] choice = parent.choice().clone();
      if (draws.number() < settings.crossover()) {
        cross(choice, parent().choice());
      } else {
        changes++;
        while (changes < problem.layers() && draws.number() < settings.more()) {
          changes++;
        }
      }
      for (int i = 0; i < changes; i++) {
        mutate(choice);
      }
      if (!history.has(choice) && problem.feasible().met(choice)) {
        return Optional.of(choice);
      }
    }
    return history.unknown(draws);
  }

  private Member parent() {
    Member[] members = population.toArray(Member[]::new);
    Member best = members[draws.below(members.length)];
    for (int i = 1; i < settings.sample(); i++) {
      Member other = members[draws.below(members.length)];
      best = other.accuracy() > best.accuracy() ? other : best;
    }
    return best;
  }

  /** Takes each layer from either parent. */
  private void cross(int[] choice, int[] other) {
    for (int l = 0; l < choice.length; l++) {
      choice[l] = draws.below(2) == 0 ? choice[l] : other[l];
    }
  }

  /** Gives one layer another of its candidates, where it has one. */
  private void mutate(int[] choice) {
    int layer = draws.below(choice.length);
    boolean[] allowed = problem.allowed()[layer];
    int others = -1;
    for (boolean may : allowed) {
      others += may ? 1 : 0;
    }
    if (others < 1) {
      return;
    }
    int skipped = draws.below(others);
    for (int k = 0; k < allowed.length; k++) {
      if (allowed[k] && k != choice[layer] && skipped-- == 0) {
        choice[layer] = k;
        return;
      }
    }
  }

  @Override
  public void feedback(int[] choice, double accuracy, double cost) {
    history.learn(choice, accuracy, cost);
    population.addLast(new Member(choice.clone(), accuracy));
    if (population.size() > settings.population()) {
      population.removeFirst();
    }
  }

  @Override
  ObjectNode tree() {
    ObjectNode state = JsonNodeFactory.instance.objectNode();
    state.put("place", draws.place()).put("begun", begun).set("history", history.state());
    ArrayNode members = state.putArray("population");
    for (Member member : population) {
      members.add(History.json(member.choice()).add(member.accuracy()));
    }
    return state;
  }

  @Override
  void restore(JsonNode state) {
    draws.restore(state);
    begun = state.path("begun").asLong();
    history.restore(state.path("history"));
    population.clear();
    for (JsonNode member : state.path("population")) {
      population.addLast(
          new Member(History.choice(member, problem), member.path(problem.layers()).asDouble()));
    }
  }
}
