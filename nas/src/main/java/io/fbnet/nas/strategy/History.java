package io.fbnet.nas.strategy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What was proposed, and what is known of it, in the order in which it was proposed. */
final class History {
  /** Draws that may all be known ones before those that are not are looked for one by one. */
  private static final int DRAWS = 256;

  private final Problem problem;
  private final Map<List<Integer>, Optional<Known>> known = new LinkedHashMap<>();

  /** What a feedback told. */
  record Known(double accuracy, double cost) {}

  /** A network of which something is known. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Result(int[] choice, double accuracy, double cost) {}

  History(Problem problem) {
    this.problem = problem;
  }

  boolean has(int[] choice) {
    return known.containsKey(key(choice));
  }

  /** What is known of a network; empty where it was only proposed, or not even that. */
  Optional<Known> of(int[] choice) {
    return known.getOrDefault(key(choice), Optional.empty());
  }

  void propose(int[] choice) {
    known.put(key(choice), Optional.empty());
  }

  /** Keeps a feedback after it was checked. */
  void learn(int[] choice, double accuracy, double cost) {
    if (!isNetwork(choice) || !problem.feasible().met(choice)) {
      throw new IllegalArgumentException(
          "the network " + Arrays.toString(choice) + " is outside the budget");
    }
    if (!(accuracy >= 0 && accuracy <= 1)) {
      throw new IllegalArgumentException("an accuracy is 0 to 1, not " + accuracy);
    }
    if (problem.target().isPresent() && !(cost > 0 && cost < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException("a cost is above 0, not " + cost);
    }
    // Without a target costs are not read, and what is no number has no place in JSON.
    double kept = problem.target().isPresent() ? cost : 0;
    known.put(key(choice), Optional.of(new Known(accuracy, kept)));
  }

  private boolean isNetwork(int[] choice) {
    boolean is = choice.length == problem.layers();
    for (int l = 0; is && l < choice.length; l++) {
      is = choice[l] >= 0 && choice[l] < problem.candidates(l);
    }
    return is;
  }

  /** A network that was not proposed yet, any as likely as any other; empty if there is none. */
  Optional<int[]> unknown(Draws draws) {
    for (int i = 0; i < DRAWS; i++) {
      int[] choice = draws.uniform(problem.feasible());
      if (!has(choice)) {
        return Optional.of(choice);
      }
    }
    // So few are left that a list of them is no longer than that of those known.
    List<int[]> left = new ArrayList<>();
    collect(new int[problem.layers()], 0, left);
    return left.isEmpty() ? Optional.empty() : Optional.of(left.get(draws.below(left.size())));
  }

  private void collect(int[] choice, int layer, List<int[]> left) {
    if (layer == choice.length) {
      if (!has(choice) && problem.feasible().met(choice)) {
        left.add(choice.clone());
      }
      return;
    }
    boolean[] may = problem.feasible().mayTake(choice, layer);
    for (int k = 0; k < may.length; k++) {
      if (may[k]) {
        choice[layer] = k;
        collect(choice, layer + 1, left);
      }
    }
  }

  /** All of which something is known. */
  List<Result> results() {
    List<Result> results = new ArrayList<>();
    known.forEach(
        (key, result) ->
            result.ifPresent(
                r ->
                    results.add(
                        new Result(
                            key.stream().mapToInt(Integer::intValue).toArray(),
                            r.accuracy(),
                            r.cost()))));
    return results;
  }

  private static List<Integer> key(int[] choice) {
    return Arrays.stream(choice).boxed().toList();
  }

  /** Each network as its choice, and behind it accuracy and cost where they are known. */
  ArrayNode state() {
    ArrayNode list = JsonNodeFactory.instance.arrayNode();
    known.forEach(
        (key, result) -> {
          ArrayNode entry = list.addArray();
          key.forEach(entry::add);
          result.ifPresent(r -> entry.add(r.accuracy()).add(r.cost()));
        });
    return list;
  }

  void restore(JsonNode state) {
    known.clear();
    for (JsonNode entry : state) {
      int[] choice = choice(entry, problem);
      if (entry.size() == choice.length) {
        propose(choice);
      } else if (entry.size() != choice.length + 2) {
        throw otherSpace(entry);
      } else {
        learn(
            choice,
            entry.path(choice.length).asDouble(Double.NaN),
            entry.path(choice.length + 1).asDouble(Double.NaN));
      }
    }
  }

  /** The choice at the beginning of a list, behind which its numbers may stand. */
  static int[] choice(JsonNode list, Problem problem) {
    int[] choice = new int[problem.layers()];
    for (int l = 0; l < choice.length; l++) {
      choice[l] = list.path(l).asInt(-1);
      if (choice[l] < 0 || choice[l] >= problem.candidates(l)) {
        throw otherSpace(list);
      }
    }
    return choice;
  }

  private static IllegalArgumentException otherSpace(JsonNode list) {
    return new IllegalArgumentException(
        "the state is of another space: " + list + " is none of this one's networks");
  }

  static ArrayNode json(int[] choice) {
    ArrayNode list = JsonNodeFactory.instance.arrayNode();
    for (int k : choice) {
      list.add(k);
    }
    return list;
  }
}
