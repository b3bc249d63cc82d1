package io.fbnet.nas.search;

import io.fbnet.nas.strategy.Controller;
import io.fbnet.nas.strategy.Problem;
import io.fbnet.nas.strategy.Strategy;
import java.util.Optional;
import java.util.function.Function;

/**
 * How a search trains its supernet, and how it comes from there to a network: by theta, which is
 * trained by gradients on the mixture and drawn from, or by a controller, which proposes networks
 * and learns how each scores with the supernet's weights. The weights are trained by the mixture or
 * by paths.
 *
 * @param name as the command line has it
 * @param sampling the paths that train w; empty where the mixture of all candidates does
 * @param noise whether the mixture is weighted by samples of Gumbel-softmax, else by the softmax of
 *     theta itself
 * @param controller makes what proposes networks; empty where theta does
 */
public record SearchStrategy(
    String name,
    Optional<PathSampling> sampling,
    boolean noise,
    Optional<Function<Problem, Controller>> controller) {

  /** The paper's: a mixture by Gumbel-softmax, w and theta by turns (arXiv 1812.03443). */
  public static final SearchStrategy FBNET =
      new SearchStrategy("fbnet", Optional.empty(), true, Optional.empty());

  /** The same without noise, first order (DARTS, arXiv 1806.09055). */
  public static final SearchStrategy DARTS =
      new SearchStrategy("darts", Optional.empty(), false, Optional.empty());

  /** Two paths a w step, theta by the mixture (TF-NAS, arXiv 2008.05314). */
  public static final SearchStrategy TF_NAS =
      new SearchStrategy(
          "tf-nas", Optional.of(PathSampling.THETA_AND_UNIFORM), true, Optional.empty());

  /**
   * Checks that the parts fit.
   *
   * @throws IllegalArgumentException where paths are drawn from a theta that nothing trains
   */
  public SearchStrategy {
    if (controller.isPresent() && sampling.filter(PathSampling::readsTheta).isPresent()) {
      throw new IllegalArgumentException(
          "paths drawn from theta need a theta that is trained, and a controller leaves it alone");
    }
  }

  /**
   * {@return one that trains by paths and lets a controller propose}
   *
   * @param name as the command line has it
   * @param sampling the paths that train w
   * @param controller makes what proposes networks
   */
  public static SearchStrategy byPaths(
      String name, PathSampling sampling, Function<Problem, Controller> controller) {
    return new SearchStrategy(name, Optional.of(sampling), false, Optional.of(controller));
  }

  /**
   * {@return single paths, then ageing evolution (SPOS, arXiv 1904.00420)}
   *
   * @param sampling the paths that train w
   */
  public static SearchStrategy singlePath(PathSampling sampling) {
    return byPaths("single-path", sampling, Strategy.EVOLUTION::begin);
  }

  /** {@return whether theta is trained} */
  public boolean trainsTheta() {
    return controller.isEmpty();
  }
}
