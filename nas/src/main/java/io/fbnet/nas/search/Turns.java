package io.fbnet.nas.search;

/**
 * Whose turn it is in an epoch in which theta is trained: all steps of w and then all of theta, or
 * a step of theta after every few of w.
 *
 * @param every how many steps of w a step of theta follows, and the last of an epoch; 0 where the
 *     halves of an epoch take turns
 * @param weightSteps of w in an epoch
 * @param thetaHalf steps of theta in an epoch's second half, where there is one
 */
record Turns(int every, int weightSteps, int thetaHalf) {
  /** Those of a search by so many images of either kind. */
  static Turns of(
      SearchSettings settings, SearchStrategy strategy, int weightImages, int thetaImages) {
    return new Turns(
        strategy.thetaEvery(),
        settings.weightBatches(weightImages),
        settings.thetaBatches(weightImages, thetaImages));
  }

  /** Those of a run that was begun when every strategy had halves. */
  Turns halves() {
    return new Turns(0, weightSteps, thetaHalf);
  }

  /** Steps of theta in an epoch. */
  int thetaSteps() {
    return every == 0 ? thetaHalf : Math.ceilDiv(weightSteps, every);
  }

  /** Whether nothing is left of the epoch, or of its half where it has halves. */
  boolean over(Position position) {
    boolean between = every > 0 && position.phase() == Position.Phase.THETA;
    return !between && position.batch() >= steps(position);
  }

  /** Steps of the kind that comes next, in an epoch. */
  int steps(Position position) {
    return position.phase() == Position.Phase.THETA ? thetaSteps() : weightSteps;
  }

  /** How many steps of the kind that comes next the epoch has seen. */
  int done(Position position) {
    boolean between = every > 0 && position.phase() == Position.Phase.THETA;
    return between ? Math.ceilDiv(position.batch(), every) - 1 : position.batch();
  }

  /**
   * What follows a step, within the epoch's half where it has halves.
   *
   * @param position before the step
   * @param theta whether theta is trained in this epoch
   */
  Position after(Position position, boolean theta) {
    Position next = position.afterStep();
    if (every == 0 || !theta) {
      return next;
    }
    if (position.phase() == Position.Phase.THETA) {
      return next.inTurn(Position.Phase.WEIGHTS, position.batch());
    }
    boolean turn = next.batch() % every == 0 || next.batch() == weightSteps;
    return turn ? next.inTurn(Position.Phase.THETA, next.batch()) : next;
  }
}
