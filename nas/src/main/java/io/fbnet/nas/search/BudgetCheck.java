package io.fbnet.nas.search;

import io.fbnet.nas.UserException;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;

/** Refuses a budget that no network of a space can keep, before anything is trained. */
final class BudgetCheck {
  /** Sums are told apart by this share of the largest. */
  private static final int BINS = 1 << 16;

  private BudgetCheck() {}

  /**
   * Checks each limit by itself, then each pair, then all of them together.
   *
   * @throws UserException (exit code 3) naming the cheapest network, or the nearest possible costs
   */
  static void require(Budget budget, SearchSpace space) {
    boolean[][] allowed = space.allowed();
    for (Limit limit : budget.limits()) {
      int[] cheapest = extreme(limit, allowed, 1);
      double least = limit.of(cheapest);
      Limit.Kind kind = limit.kind();
      if (least > limit.most()) {
        throw UserException.data(
            "no network of the space '%s' has a %s of %s: the least possible is %s (%s)",
            space.name(),
            kind == Limit.Kind.LATENCY ? "latency" : "number",
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
        requireTogether(pair(limits.get(i), limits.get(j)), space, allowed);
      }
    }
    if (limits.size() > 2) {
      requireTogether(
          limits.stream().sorted(Comparator.comparingDouble(Limit::least).reversed()).toList(),
          space,
          allowed);
    }
  }

  /** The one with a least amount first: the program wants the last to have none. */
  private static List<Limit> pair(Limit a, Limit b) {
    return a.least() >= b.least() ? List.of(a, b) : List.of(b, a);
  }

  private static void requireTogether(List<Limit> limits, SearchSpace space, boolean[][] allowed) {
    BudgetProgram program = new BudgetProgram(limits, allowed);
    try {
      if (program.witness().isPresent()) {
        return;
      }
    } catch (BudgetProgram.SearchTooLong unknown) {
      // A budget is refused only where it is known that nothing keeps it.
      return;
    }
    Limit last = limits.getLast();
    double needed = program.leastOfLast();
    throw UserException.data(
        "no network of the space '%s' has %s together, though each limit alone can be kept%s: widen"
            + " one of them",
        space.name(),
        limits.stream().map(BudgetCheck::words).collect(Collectors.joining(" and ")),
        needed > last.most() && Double.isFinite(needed)
            ? "; within the others it takes at least " + last.kind().text(needed)
            : "");
  }

  private static String words(Limit limit) {
    Limit.Kind kind = limit.kind();
    return limit.least() > 0
        ? "a latency from " + kind.text(limit.least()) + " to " + kind.text(limit.most())
        : "at most " + kind.text(limit.most());
  }

  private static void requireBetween(
      Limit limit, SearchSpace space, boolean[][] allowed, double least) {
    double most = limit.of(extreme(limit, allowed, -1));
    double width = (most - least) / BINS;
    Limit.Kind kind = limit.kind();
    if (most < limit.least()) {
      throw UserException.data(
          "every network of the space '%s' is faster than %s: the slowest takes %s, so search"
              + " without a target",
          space.name(), kind.text(limit.target()), kind.text(most));
    }
    if (!(width > 0)) {
      return;
    }
    // Every sum that some network has, by bins above the least; rounding is at most a bin a layer.
    BitSet sums = new BitSet(BINS + 1);
    sums.set(0);
    for (int l = 0; l < allowed.length; l++) {
      double base = Double.POSITIVE_INFINITY;
      for (int k = 0; k < allowed[l].length; k++) {
        base = allowed[l][k] ? Math.min(base, limit.costs()[l][k]) : base;
      }
      BitSet next = new BitSet(BINS + 1);
      for (int k = 0; k < allowed[l].length; k++) {
        if (allowed[l][k]) {
          int shift = (int) Math.round((limit.costs()[l][k] - base) / width);
          sums.stream().map(bin -> bin + shift).forEach(next::set);
        }
      }
      sums = next;
    }
    int from = (int) Math.floor((limit.least() - least) / width) - allowed.length;
    int to = (int) Math.ceil((limit.most() - least) / width) + allowed.length;
    int first = sums.nextSetBit(Math.max(0, from));
    if (first < 0 || first > to) {
      int below = sums.previousSetBit(Math.max(0, from));
      throw UserException.data(
          "no network of the space '%s' takes between %s and %s: the nearest take %s%s",
          space.name(),
          kind.text(limit.least()),
          kind.text(limit.most()),
          below < 0 ? "" : kind.text(least + below * width) + " and ",
          kind.text(least + first * width));
    }
  }

  /** The candidate of each layer whose cost times {@code sign} is the least. */
  private static int[] extreme(Limit limit, boolean[][] allowed, int sign) {
    int[] choice = new int[allowed.length];
    for (int l = 0; l < choice.length; l++) {
      double best = Double.POSITIVE_INFINITY;
      for (int k = 0; k < allowed[l].length; k++) {
        if (allowed[l][k] && sign * limit.costs()[l][k] < best) {
          best = sign * limit.costs()[l][k];
          choice[l] = k;
        }
      }
    }
    return choice;
  }
}
