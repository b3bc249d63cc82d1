package io.fbnet.nas.budget;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Refuses a budget that no network of a space can keep, before anything is trained. */
public final class BudgetCheck {
  /** The nearest costs are found to this share of the target. */
  private static final double EXACT = 1e-6;

  private BudgetCheck() {}

  /**
   * Checks each limit by itself, then each pair, then all of them together.
   *
   * @param budget limits that hold together; those of a table may come later
   * @param space whose networks are meant
   * @throws UserException (exit code 3) naming the cheapest network, or the nearest possible costs
   */
  public static void require(Budget budget, SearchSpace space) {
    boolean[][] allowed = space.allowed();
    for (Limit limit : budget.limits()) {
      int[] cheapest = limit.extreme(allowed, 1);
      double least = limit.of(cheapest);
      Limit.Kind kind = limit.kind();
      if (least > limit.most()) {
        throw UserException.data(
            "no network of the space '%s' has a %s of %s: the least possible is %s (%s)",
            space.name(),
            kind.isLatency() ? "latency" : "number",
            kind.text(limit.target()),
            kind.text(least),
            Architecture.of("", space, cheapest).blockLine());
      }
      if (limit.least() > 0) {
        requireBetween(limit, space, allowed, least);
      }
    }
    List<Limit> limits = budget.limits();
    for (int i = 0; i < limits.size(); i++) {
      for (int j = i + 1; j < limits.size(); j++) {
        requireTogether(List.of(limits.get(i), limits.get(j)), space, allowed);
      }
    }
    if (limits.size() > 2) {
      requireTogether(limits, space, allowed);
    }
  }

  private static void requireTogether(List<Limit> limits, SearchSpace space, boolean[][] allowed) {
    try {
      if (new BudgetProgram(new Budget(limits), allowed).witness().isPresent()) {
        return;
      }
    } catch (BudgetProgram.SearchTooLong unknown) {
      // A budget is refused only where it is known that nothing keeps it.
      return;
    }
    List<String> nearest = new ArrayList<>();
    for (Limit limit : limits) {
      nearest(limit, limits, allowed).ifPresent(nearest::add);
    }
    throw UserException.data(
        "no network of the space '%s' has %s together, though each limit alone can be kept%s: widen"
            + " one of them",
        space.name(),
        limits.stream().map(BudgetCheck::words).collect(Collectors.joining(" and ")),
        nearest.isEmpty()
            ? ""
            : "; within the other limits a network takes " + String.join(", or ", nearest));
  }

  /** What a limit would have to allow for the others to be kept, or by bins a little less. */
  private static Optional<String> nearest(Limit limit, List<Limit> limits, boolean[][] allowed) {
    List<Limit> others = limits.stream().filter(other -> other.kind() != limit.kind()).toList();
    List<Bound> bounds = new ArrayList<>(Bound.of(others));
    bounds.add(Bound.of(List.of(limit)).getFirst());
    BudgetProgram program = new BudgetProgram(bounds, allowed);
    double least = program.leastOfLast();
    if (!Double.isFinite(least)) {
      return Optional.empty();
    }
    if (least > limit.most()) {
      return Optional.of("at least about " + limit.kind().text(least));
    }
    double most = program.mostOfLast();
    return most < limit.least()
        ? Optional.of("at most about " + limit.kind().text(most))
        : Optional.empty();
  }

  private static String words(Limit limit) {
    Limit.Kind kind = limit.kind();
    return limit.least() > 0
        ? "a latency from " + kind.text(limit.least()) + " to " + kind.text(limit.most())
        : "at most " + kind.text(limit.most());
  }

  private static void requireBetween(
      Limit limit, SearchSpace space, boolean[][] allowed, double least) {
    double most = limit.of(limit.extreme(allowed, -1));
    Limit.Kind kind = limit.kind();
    if (most < limit.least()) {
      throw UserException.data(
          "every network of the space '%s' is faster than %s: the slowest takes %s, so search"
              + " without a target",
          space.name(), kind.text(limit.target()), kind.text(most));
    }
    try {
      if (between(limit, limit.least(), limit.most(), allowed).isPresent()) {
        return;
      }
      double below = nearest(limit, limit.least(), least, allowed);
      double above = nearest(limit, limit.most(), most, allowed);
      throw UserException.data(
          "no network of the space '%s' takes between %s and %s: the nearest take %s and %s",
          space.name(),
          kind.text(limit.least()),
          kind.text(limit.most()),
          kind.text(below),
          kind.text(above));
    } catch (BudgetProgram.SearchTooLong unknown) {
      // Refused only where it is known, as above.
    }
  }

  /** The cost nearest to one that no network has, from there to one that some network has. */
  private static double nearest(Limit limit, double none, double some, boolean[][] allowed)
      throws BudgetProgram.SearchTooLong {
    double far = some;
    double near = none;
    while (Math.abs(far - near) > EXACT * limit.target()) {
      double middle = (far + near) / 2;
      Optional<int[]> found =
          between(limit, Math.min(middle, none), Math.max(middle, none), allowed);
      far = found.isPresent() ? limit.of(found.get()) : far;
      near = found.isPresent() ? near : middle;
    }
    return far;
  }

  private static Optional<int[]> between(Limit limit, double from, double to, boolean[][] allowed)
      throws BudgetProgram.SearchTooLong {
    Bound bound = new Bound(limit.fixed(), limit.costs(), from, to);
    return new BudgetProgram(List.of(bound, Bound.free(allowed)), allowed).witness();
  }
}
