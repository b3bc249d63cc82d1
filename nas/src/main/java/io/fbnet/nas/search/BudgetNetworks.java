package io.fbnet.nas.search;

import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.BudgetDraws;
import io.fbnet.nas.budget.BudgetProgram;
import io.fbnet.nas.strategy.Feasible;
import java.util.Arrays;

/** The networks of a space that keep a budget, as controllers ask for them. */
final class BudgetNetworks implements Feasible {
  private static final int STREAM = 9;

  private final Budget budget;
  private final boolean[][] allowed;
  private final BudgetDraws draws;
  private final BudgetProgram program;

  BudgetNetworks(Budget budget, boolean[][] allowed) {
    this.budget = budget;
    this.allowed = allowed;
    draws = BudgetDraws.uniform(budget, allowed);
    program = budget.isEmpty() ? null : new BudgetProgram(budget, allowed);
  }

  @Override
  public boolean met(int[] choice) {
    for (int l = 0; l < choice.length; l++) {
      if (!allowed[l][choice[l]]) {
        return false;
      }
    }
    return budget.met(choice);
  }

  @Override
  public boolean[] mayTake(int[] prefix, int layer) {
    return program == null ? allowed[layer].clone() : program.open(Arrays.copyOf(prefix, layer));
  }

  /** Where draws miss again and again, what the program finds: the budget was checked. */
  @Override
  public int[] uniform(long seed, long index) {
    return draws
        .draw(seed, STREAM, index)
        .or(program == null ? java.util.Optional::empty : program::any)
        .orElseThrow(() -> new IllegalStateException("no network keeps the budget"));
  }
}
