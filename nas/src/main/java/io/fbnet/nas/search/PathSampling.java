package io.fbnet.nas.search;

import io.fbnet.engine.random.Philox;
import io.fbnet.nas.network.Description;
import io.fbnet.nas.space.LayerSpec;
import io.fbnet.nas.space.SearchSpace;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Which paths through the supernet train its weights in a step. */
public enum PathSampling {
  /** One path, in each layer every candidate as likely as any other (SPOS, arXiv 1904.00420). */
  UNIFORM,
  /**
   * As many paths as a layer has candidates, so that each of them is taken once a step (FairNAS,
   * arXiv 1907.01845); where a layer allows fewer, some are taken again.
   */
  FAIR,
  /**
   * The path of the most multiply-adds, that of the least, and two uniform ones (the sandwich rule,
   * arXiv 1903.05134, without distillation).
   */
  SANDWICH,
  /** One path drawn from theta and one uniform one (bi-sampling, TF-NAS, arXiv 2008.05314). */
  THETA_AND_UNIFORM;

  private static final int STREAM = 5;
  private static final int THETA_STREAM = 8;
  private static final int WITHIN_SANDWICH = 2;

  /**
   * {@return the paths of a step, one candidate a layer each}
   *
   * @param space whose candidates are taken, where it allows them
   * @param theta as it stands; read by {@link #THETA_AND_UNIFORM} alone
   * @param seed of all steps
   * @param step from 0
   */
  public List<int[]> paths(SearchSpace space, Theta theta, long seed, long step) {
    boolean[][] allowed = space.allowed();
    return switch (this) {
      case UNIFORM -> List.of(uniform(allowed, seed, step, 0));
      case FAIR -> fair(allowed, seed, step);
      case SANDWICH -> {
        List<int[]> paths = new ArrayList<>();
        paths.add(extreme(space, allowed, -1));
        paths.add(extreme(space, allowed, 1));
        for (int i = 0; i < WITHIN_SANDWICH; i++) {
          paths.add(uniform(allowed, seed, step, i));
        }
        yield paths;
      }
      case THETA_AND_UNIFORM ->
          List.of(theta.sample(seed, THETA_STREAM, step), uniform(allowed, seed, step, 0));
    };
  }

  /** {@return how many paths a step has} */
  int paths(SearchSpace space) {
    return paths(space, Theta.uniform(space), 0, 0).size();
  }

  /** {@return whether the paths depend on theta} */
  public boolean readsTheta() {
    return this == THETA_AND_UNIFORM;
  }

  private static int[] uniform(boolean[][] allowed, long seed, long step, int number) {
    int[] path = new int[allowed.length];
    for (int l = 0; l < path.length; l++) {
      int[] open = open(allowed[l]);
      path[l] = open[below(open.length, seed, step, (long) number * path.length + l)];
    }
    return path;
  }

  private static List<int[]> fair(boolean[][] allowed, long seed, long step) {
    int most = 0;
    for (boolean[] layer : allowed) {
      most = Math.max(most, open(layer).length);
    }
    int[][] paths = new int[most][allowed.length];
    for (int l = 0; l < allowed.length; l++) {
      int[] order = open(allowed[l]);
      for (int i = order.length - 1; i > 0; i--) {
        int j = below(i + 1, seed, step, (long) i * allowed.length + l);
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

  private static int[] extreme(SearchSpace space, boolean[][] allowed, int sign) {
    int[] path = new int[allowed.length];
    for (LayerSpec layer : space.layers()) {
      long best = Long.MAX_VALUE;
      for (int k : open(allowed[layer.index()])) {
        long macs = sign * Description.layer(space, layer, space.blocks().get(k)).macs();
        if (macs < best) {
          best = macs;
          path[layer.index()] = k;
        }
      }
    }
    return path;
  }

  /** The candidates that a layer allows. */
  private static int[] open(boolean[] layer) {
    int count = 0;
    int[] open = new int[layer.length];
    for (int k = 0; k < layer.length; k++) {
      if (layer[k]) {
        open[count++] = k;
      }
    }
    return Arrays.copyOf(open, count);
  }

  private static int below(int bound, long seed, long step, long index) {
    long word = Philox.word(seed, STREAM, step, index) & 0xFFFFFFFFL;
    return (int) (word * bound >>> 32);
  }
}
