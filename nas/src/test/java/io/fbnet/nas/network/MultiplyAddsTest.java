package io.fbnet.nas.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fbnet.nas.data.Normalisation;
import io.fbnet.nas.network.SupernetGraphs.LossSettings;
import io.fbnet.nas.space.Architecture;
import io.fbnet.nas.space.SearchSpace;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What steps take is what the networks in them are described to take, counted by hand. */
class MultiplyAddsTest {
  private static final int BATCH = 3;
  private static final long SEED = 20261128L;
  private static final SearchSpace SPACE = SearchSpace.load("fashion");
  private static final Normalisation NORMALISATION =
      new Normalisation(List.of(0.5f), List.of(0.25f));

  private static int[] path(Random random) {
    int[] path = new int[SPACE.layerCount()];
    for (int l = 0; l < path.length; l++) {
      do {
        path[l] = random.nextInt(SPACE.blocks().size());
      } while (!SPACE.allowed()[l][path[l]]);
    }
    return path;
  }

  private static SupernetGraphs mixture(boolean lean) {
    double[][] none = new double[SPACE.layerCount()][SPACE.blocks().size()];
    return new SupernetGraphs(SPACE, NORMALISATION, LossSettings.PAPER, 0, none, List.of(), lean);
  }

  /** Of one image: the stem, whose input has no gradient; head and classifier; all candidates. */
  private static long[] parts() {
    Description network = Description.of(Architecture.of("", SPACE, new int[SPACE.layerCount()]));
    List<Description.Layer> layers = network.layers();
    long candidates = 0;
    for (int l = 0; l < SPACE.layerCount(); l++) {
      for (int k = 0; k < SPACE.blocks().size(); k++) {
        candidates += Description.layer(SPACE, SPACE.layers().get(l), SPACE.blocks().get(k)).macs();
      }
    }
    long head = layers.get(layers.size() - 2).macs() + layers.getLast().macs();
    return new long[] {layers.getFirst().macs(), head, candidates};
  }

  @Test
  void aPathTakesWhatItsNetworkDoes() {
    PathGraphs graphs = new PathGraphs(SPACE, NORMALISATION, true);
    MultiplyAdds forward = MultiplyAdds.of(graphs.evaluation(BATCH));
    MultiplyAdds recalibration = MultiplyAdds.of(graphs.recalibration(BATCH));
    MultiplyAdds step = MultiplyAdds.of(graphs.training(BATCH, 0.9, 1e-4, false));
    MultiplyAdds lean = MultiplyAdds.of(graphs.training(BATCH, 0.9, 1e-4, true));
    Random random = new Random(SEED);
    long stem = parts()[0];
    for (int i = 0; i < 20; i++) {
      int[] path = path(random);
      long macs = Description.of(Architecture.of("", SPACE, path)).macs();
      assertEquals(BATCH * macs, forward.of(path), "seed " + SEED);
      assertEquals(BATCH * macs, recalibration.of(path), "seed " + SEED);
      assertEquals(BATCH * (3 * macs - stem), step.of(path), "seed " + SEED);
      assertTrue(lean.of(path) >= step.of(path));
      assertTrue(lean.of(path) <= step.of(path) + BATCH * macs);
    }
    assertThrows(IllegalStateException.class, forward::count);
    double mean = 0;
    for (int i = 0; i < 4000; i++) {
      mean += forward.of(path(random)) / 4000.0;
    }
    assertEquals(forward.mean(SPACE.allowed()), mean, 0.02 * mean, "seed " + SEED);
  }

  @Test
  void aMixtureTakesWhatAllCandidatesDo() {
    long[] parts = parts();
    long all = parts[0] + parts[1] + parts[2];
    assertEquals(
        BATCH * (3 * all - parts[0]), MultiplyAdds.of(mixture(false).weightStep(BATCH)).count());
    // Theta needs the gradients of activations behind the first layer's weights, and no others.
    long theta = MultiplyAdds.of(mixture(false).thetaStep(BATCH)).count();
    assertTrue(theta > BATCH * 1.5 * all && theta < BATCH * 2 * all, theta + " of " + BATCH * all);
    assertTrue(
        MultiplyAdds.of(mixture(true).weightStep(BATCH)).count()
            > MultiplyAdds.of(mixture(false).weightStep(BATCH)).count());
  }

  /** The figures of {@code docs/strategies.md}. */
  @Test
  void whatStepsTakeBesideTheMixtures() {
    double[][] shares = {{0.144, 0.622}, {0.147, 0.655}};
    String[] spaces = {"fashion", "cifar"};
    for (int i = 0; i < spaces.length; i++) {
      SearchSpace space = SearchSpace.load(spaces[i]);
      int channels = space.input().channels();
      Normalisation normalisation =
          new Normalisation(
              Collections.nCopies(channels, 0.5f), Collections.nCopies(channels, 0.25f));
      double[][] none = new double[space.layerCount()][space.blocks().size()];
      SupernetGraphs mixture =
          new SupernetGraphs(space, normalisation, LossSettings.PAPER, 0, none, List.of(), false);
      double weights = MultiplyAdds.of(mixture.weightStep(1)).count();
      PathGraphs paths = new PathGraphs(space, normalisation, true);
      double path = MultiplyAdds.of(paths.training(1, 0, 0, true)).mean(space.allowed());
      assertEquals(shares[i][0], path / weights, 5e-4, spaces[i]);
      double theta = MultiplyAdds.of(mixture.thetaStep(1)).count();
      assertEquals(shares[i][1], theta / weights, 5e-4, spaces[i]);
    }
  }
}
