package io.fbnet.nas.strategy;

import java.util.OptionalDouble;

/** Makes controllers with other settings than {@link Strategy} does. */
public final class Controllers {
  /** Weight of the distance from the target in the reward of TuNAS, from its paper. */
  public static final double BETA = -0.1;

  /** The exponent of MnasNet's paper at which cost may be traded for accuracy. */
  public static final double SOFT = -0.07;

  /** The exponent of MnasNet's paper beyond a target that is a hard limit. */
  public static final double HARD = -1;

  private static final int WIDTH = 16;
  private static final double LOGITS_RATE = 0.1;
  private static final double RNN_RATE = 0.01;
  private static final double ENTROPY = 0.2;
  private static final double PPO_RATE = 0.01;
  private static final int BATCH = 10;
  private static final int PASSES = 4;
  private static final double CLIP = 0.2;

  private Controllers() {}

  /**
   * {@return uniform draws inside the budget, none twice}
   *
   * @param problem what is searched
   */
  public static Controller random(Problem problem) {
    return new UniformDraws(problem);
  }

  /**
   * {@return ageing evolution (Real et al. 2019, arXiv 1802.01548): the best of a few members of
   * the population becomes a parent, its mutant joins, the oldest leaves} Beyond the paper a share
   * of the offspring crosses two parents (as the search of Single Path One-Shot, arXiv 1904.00420),
   * no network is judged twice, and of several offspring the one may be taken of which a ridge
   * regression, one number a layer and candidate, expects most.
   *
   * @param problem what is searched
   * @param settings {@link EvolutionSettings#PLAIN}, {@link EvolutionSettings#RANKED} or others
   */
  public static Controller evolution(Problem problem, EvolutionSettings settings) {
    return new AgeingEvolution(problem, settings);
  }

  /**
   * {@return TuNAS's controller (arXiv 2008.06120): a softmax a layer, REINFORCE with a moving
   * baseline of momentum 0.95, Adam; reward accuracy + beta * |cost / T - 1|, or accuracy alone
   * where the problem has no target} Adam's rate is 0.1, for hundreds of evaluations where the
   * paper has tens of thousands of steps.
   *
   * @param problem what is searched
   * @param beta 0 or below; {@link #BETA} in the paper
   * @throws IllegalArgumentException if beta is above 0
   */
  public static Controller reinforce(Problem problem, double beta) {
    if (!(beta <= 0)) {
      throw new IllegalArgumentException("beta is 0 or below, not " + beta);
    }
    Draws draws = new Draws(problem.seed());
    Policy policy = new IndependentLogits(problem);
    OptionalDouble target = problem.target();
    PolicySearch.Reward reward =
        target.isEmpty()
            ? (accuracy, cost) -> accuracy
            : (accuracy, cost) -> accuracy + beta * Math.abs(cost / target.getAsDouble() - 1);
    Learner learner = new Reinforce(problem, policy, LOGITS_RATE, 0);
    return new PolicySearch(problem, draws, policy, learner, reward);
  }

  /**
   * {@return the controller of Zoph and Le (arXiv 1611.01578): an LSTM of width 16, REINFORCE with
   * a moving baseline of momentum 0.95, reward accuracy} Advantages are divided by the rewards'
   * standard deviation, and the entropy of each layer's choice counts 0.2, so that one rate (Adam,
   * 0.01) serves any scale of accuracies.
   *
   * @param problem what is searched
   */
  public static Controller rnn(Problem problem) {
    Draws draws = new Draws(problem.seed());
    Policy policy = new Lstm(problem, WIDTH, draws);
    Learner learner = new Reinforce(problem, policy, RNN_RATE, ENTROPY);
    return new PolicySearch(problem, draws, policy, learner, (accuracy, cost) -> accuracy);
  }

  /**
   * {@return MnasNet's controller (arXiv 1807.11626): an LSTM of width 16, proximal policy
   * optimisation, reward accuracy * (cost / T)^w, or accuracy alone where the problem has no
   * target} PPO (arXiv 1707.06347) takes four steps of Adam (rate 0.01, clip 0.2) on each ten
   * rewards, advantages in the batch's standard deviations, entropy 0.2; the paper names no such
   * numbers.
   *
   * @param problem what is searched
   * @param below w up to the target: {@link #SOFT} where less cost is worth accuracy, 0 where it is
   *     not
   * @param above w beyond it: {@link #SOFT} or {@link #HARD}
   * @throws IllegalArgumentException if an exponent is above 0
   */
  public static Controller mnasnet(Problem problem, double below, double above) {
    if (!(below <= 0) || !(above <= 0)) {
      throw new IllegalArgumentException("exponents are 0 or below, not " + below + ", " + above);
    }
    Draws draws = new Draws(problem.seed());
    Policy policy = new Lstm(problem, WIDTH, draws);
    OptionalDouble target = problem.target();
    PolicySearch.Reward reward =
        target.isEmpty()
            ? (accuracy, cost) -> accuracy
            : (accuracy, cost) -> {
              double share = cost / target.getAsDouble();
              return accuracy * Math.pow(share, share <= 1 ? below : above);
            };
    Learner learner = new Ppo(problem, policy, PPO_RATE, BATCH, PASSES, CLIP, ENTROPY);
    return new PolicySearch(problem, draws, policy, learner, reward);
  }
}
