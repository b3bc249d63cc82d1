package io.fbnet.nas.examples;

// Example begins
import io.fbnet.nas.search.PathSampling;
import io.fbnet.nas.search.SearchStrategy;
import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Problem;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

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
  public String state() {
    return draws + ";" + accuracy + ";" + Arrays.toString(best) + ";" + String.join("/", proposed);
  }

  @Override
  public void restore(String state) {
    String[] parts = state.split(";", -1);
    draws = Long.parseLong(parts[0]);
    accuracy = Double.parseDouble(parts[1]);
    best = parts[2].equals("null") ? null : numbers(parts[2]);
    proposed.addAll(List.of(parts[3].split("/", -1)));
  }

  private static int[] numbers(String list) {
    return Stream.of(list.replaceAll("[\\[\\] ]", "").split(",", -1))
        .mapToInt(Integer::parseInt)
        .toArray();
  }
}
// Example ends
