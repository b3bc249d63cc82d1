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
 * @param thetaStep how theta's gradient is found, where it is trained
 * @param thetaEvery after how many steps of w theta takes one; 0 where each epoch trains w and then
 *     theta
 * @param controller makes what proposes networks; empty where theta does
 */
public record SearchStrategy(
    String name,
    Optional<PathSampling> sampling,
    boolean noise,
    ThetaStep thetaStep,
    int thetaEvery,
    Optional<Function<Problem, Controller>> controller) {

  /** How theta's gradient is found. */
  public enum ThetaStep {
    /** Through the mixture of all candidates. */
    MIXTURE,
    /** Through the mixture, where one step of w would lead (second order). */
    UNROLLED,
    /** Through one path drawn from theta, by the straight-through gradient of its sample. */
    PATH
  }

  /** The paper's: a mixture by Gumbel-softmax, w and theta by turns (arXiv 1812.03443). */
  public static final SearchStrategy FBNET =
      byGradients("fbnet", Optional.empty(), true, ThetaStep.MIXTURE);

  /** The same without noise, first order (DARTS, arXiv 1806.09055). */
  public static final SearchStrategy DARTS =
      byGradients("darts", Optional.empty(), false, ThetaStep.MIXTURE);

  /** The same of second order, equations 7 and 8 there. */
  public static final SearchStrategy DARTS2 =
      byGradients("darts2", Optional.empty(), false, ThetaStep.UNROLLED);

  /** One path drawn from theta in every step of either kind (GDAS, arXiv 1910.04465). */
  public static final SearchStrategy GDAS =
      byGradients("gdas", Optional.of(PathSampling.THETA), true, ThetaStep.PATH);

  /**
   * Two paths a w step, theta by the mixture after every second of them (TF-NAS, arXiv 2008.05314).
   */
  public static final SearchStrategy TF_NAS =
      new SearchStrategy(
          "tf-nas",
          Optional.of(PathSampling.THETA_AND_UNIFORM),
          true,
          ThetaStep.MIXTURE,
          2,
          Optional.empty());

  /**
   * Checks that the parts fit.
   *
   * @throws IllegalArgumentException where paths are drawn from a theta that nothing trains, a step
   *     is looked ahead by paths, or theta waits for less than no step
   */
  public SearchStrategy {
    if (controller.isPresent() && sampling.filter(PathSampling::readsTheta).isPresent()) {
      throw new IllegalArgumentException(
          "paths drawn from theta need a theta that is trained, and a controller leaves it alone");
    }
    if (thetaEvery < 0) {
      throw new IllegalArgumentException("theta takes a step after some steps of w, or 0");
    }
    if (thetaStep == ThetaStep.UNROLLED && sampling.isPresent()) {
      throw new IllegalArgumentException("a step of w that is looked ahead is one of the mixture");
    }
  }

  private static SearchStrategy byGradients(
      String name, Optional<PathSampling> sampling, boolean noise, ThetaStep thetaStep) {
    return new SearchStrategy(name, sampling, noise, thetaStep, 0, Optional.empty());
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
    return new SearchStrategy(
        name, Optional.of(sampling), false, ThetaStep.MIXTURE, 0, Optional.of(controller));
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
