package io.fbnet.nas.search;

import io.fbnet.engine.random.Philox;
import io.fbnet.nas.budget.Limit;
import io.fbnet.nas.space.SearchSpace;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Draws the paths that train a supernet's weights; what a step takes depends on its number. */
public final class PathSampler {
  private static final int STREAM = 5;
  private static final int THETA_STREAM = 8;

  private final PathSampling sampling;
  private final long seed;

  /** The candidates that each layer allows. */
  private final int[][] open;

  private final int[] largest;
  private final int[] smallest;

  /**
   * A sampler.
   *
   * @param sampling which paths
   * @param space whose candidates are taken, where it allows them
   * @param seed of all steps
   */
  public PathSampler(PathSampling sampling, SearchSpace space, long seed) {
    this.sampling = sampling;
    this.seed = seed;
    boolean[][] allowed = space.allowed();
    open =
        Arrays.stream(allowed)
            .map(layer -> IntStream.range(0, layer.length).filter(k -> layer[k]).toArray())
            .toArray(int[][]::new);
    // Counting multiply-adds builds every block, so only where they are asked for.
    boolean sandwich = sampling == PathSampling.SANDWICH;
    Limit macs = sandwich ? Limit.macs(space, 1) : null;
    largest = sandwich ? macs.extreme(allowed, -1) : null;
    smallest = sandwich ? macs.extreme(allowed, 1) : null;
  }

  /**
   * {@return the paths of a step, one candidate a layer each}
   *
   * @param theta as it stands; read where {@link PathSampling#readsTheta} alone
   * @param step from 0
   */
  public List<int[]> paths(Theta theta, long step) {
    return switch (sampling) {
      case UNIFORM -> List.of(uniform(step, 0));
      case FAIR -> fair(step);
      case SANDWICH ->
          List.of(largest.clone(), smallest.clone(), uniform(step, 0), uniform(step, 1));
      case THETA -> List.of(theta.sample(seed, THETA_STREAM, step));
      case THETA_AND_UNIFORM -> List.of(theta.sample(seed, THETA_STREAM, step), uniform(step, 0));
    };
  }

  private int[] uniform(long step, int number) {
    int[] path = new int[open.length];
    for (int l = 0; l < path.length; l++) {
      path[l] = open[l][below(open[l].length, step, (long) number * path.length + l)];
    }
    return path;
  }

  private List<int[]> fair(long step) {
    int most = Arrays.stream(open).mapToInt(layer -> layer.length).max().orElse(0);
    int[][] paths = new int[most][open.length];
    for (int l = 0; l < open.length; l++) {
      int[] order = open[l].clone();
      for (int i = order.length - 1; i > 0; i--) {
        int j = below(i + 1, step, (long) i * open.length + l);
        int swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
      }
      for (int p = 0; p < most; p++) {
        paths[p][l] = order[p % order.length];
      }
    }
    return List.of(paths);
  }

  private int below(int bound, long step, long index) {
    long word = Philox.word(seed, STREAM, step, index) & 0xFFFFFFFFL;
    return (int) (word * bound >>> 32);
  }
}
