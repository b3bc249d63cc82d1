package io.fbnet.nas.search;

import io.fbnet.nas.UserException;
import io.fbnet.nas.budget.Budget;
import io.fbnet.nas.budget.BudgetCheck;
import io.fbnet.nas.data.Dataset;
import io.fbnet.nas.data.Splits;
import io.fbnet.nas.latency.LatencyTable;
import io.fbnet.nas.space.SearchSpace;
import java.util.Arrays;

/**
 * All that can be known to be wrong with a search before it is begun: a dry run and a run are
 * refused by the same list. {@link #require(SearchSettings, SearchSpace, Dataset)} needs no table,
 * and comes before one is measured.
 */
public final class SearchChecks {
  /**
   * Beyond this factor of the loss no learning rate that a flag takes is small enough: gradients of
   * w grow by it, and at a power of it they leave the numbers of a float.
   */
  private static final double LARGEST_FACTOR = 1e6;

  private SearchChecks() {}

  /**
   * Checks that theta and w each take a step, and have something to choose.
   *
   * @param settings of the search
   * @param space to search
   * @param data images of the space's size
   * @throws UserException (exit code 3, or 2 where shards are to be drawn in balance) that names
   *     what to change
   */
  public static void require(SearchSettings settings, SearchSpace space, Dataset data) {
    boolean chooses = false;
    for (boolean[] layer : space.allowed()) {
      int candidates = 0;
      for (boolean allowed : layer) {
        candidates += allowed ? 1 : 0;
      }
      chooses |= candidates > 1;
    }
    if (!chooses) {
      throw UserException.data(
          "the space '%s' allows one block a layer, so there is nothing to search: add candidates,"
              + " or train the network with fbnet train",
          space.name());
    }
    settings.balance().require(data.train());
    Splits splits =
        Splits.split(data.train(), settings.weightShare(), settings.seed(), settings.trainImages());
    requireBatch(settings, data, splits.first().length, "w");
    requireBatch(settings, data, splits.second().length, "theta");
  }

  private static void requireBatch(
      SearchSettings settings, Dataset data, int images, String trained) {
    if (images < settings.batch()) {
      throw UserException.data(
          "%d of the training images of %s train %s, fewer than one --batch of %d, so %s would take"
              + " no step: lower --batch, or give more images (--train-images)",
          images, data.name(), trained, settings.batch(), trained);
    }
  }

  /**
   * Checks what the latencies decide: that the loss can be computed.
   *
   * @param settings of the search
   * @param table latencies of the space's blocks
   * @throws UserException (exit code 2) where the power of the latency is too large
   */
  public static void require(SearchSettings settings, LatencyTable table) {
    double slowest =
        table.fixed()
            + Arrays.stream(table.layers())
                .mapToDouble(layer -> Arrays.stream(layer).max().orElse(0))
                .sum();
    double factor = settings.latencyFactor(slowest);
    if (factor > LARGEST_FACTOR) {
      throw UserException.usage(
          "--alpha %s and --beta %s multiply the loss by %.3g at the slowest network of the table,"
              + " more than training can stand (%.0e): lower --beta (the paper's is 0.6)",
          settings.loss().alpha(), settings.loss().beta(), factor, LARGEST_FACTOR);
    }
  }

  /**
   * Checks that some network keeps a budget.
   *
   * @param budget limits that hold together; those of a table may come later
   * @param space whose networks are meant
   * @throws UserException (exit code 3) where none does
   */
  public static void require(Budget budget, SearchSpace space) {
    BudgetCheck.require(budget, space);
  }
}
