package io.fbnet.nas.search;

import io.fbnet.engine.graph.Op;
import io.fbnet.engine.program.Program;
import io.fbnet.nas.data.Batch;
import io.fbnet.nas.data.BatchLoader;
import io.fbnet.nas.network.BatchInputs;
import io.fbnet.nas.network.UnrolledGraphs;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Supplier;

/** Runs the theta steps of a strategy. */
final class ThetaSteps implements AutoCloseable {
  private static final int[] NO_CHOICE = {};

  private final Supernet supernet;
  private final SearchStrategy.ThetaStep kind;
  private final SearchCosts costs;
  private final Supplier<BatchLoader> weightImages;
  private BatchRounds looked;

  /** Those of the last two steps: the device may still copy them. */
  private final Deque<Batch> lookedAt = new ArrayDeque<>();

  /**
   * Steps of a supernet.
   *
   * @param weightImages batches of the images that train w, for steps that look ahead
   */
  ThetaSteps(
      Supernet supernet,
      SearchStrategy.ThetaStep kind,
      SearchCosts costs,
      Supplier<BatchLoader> weightImages) {
    this.supernet = supernet;
    this.kind = kind;
    this.costs = costs;
    this.weightImages = weightImages;
  }

  /**
   * Runs a step whose program has its controls.
   *
   * @param batch that trains theta
   * @param position before the step
   * @param seed of the noise
   * @param tau the temperature
   * @param weightRate the rate of w where it stands
   * @return multiply-adds that it takes
   */
  long run(Batch batch, Position position, long seed, double tau, double weightRate) {
    Program program = supernet.thetaStep();
    switch (kind) {
      case UNROLLED -> unrolled(program, batch, position, seed, tau, weightRate);
      case PATH -> {
        int[] path = draw(position, seed, tau);
        BatchInputs.lend(program, batch);
        program.run(Op.Phase.FIRST, path);
        return costs.thetaPath(path);
      }
      case MIXTURE -> {
        BatchInputs.lend(program, batch);
        program.run();
      }
    }
    return Math.round(costs.thetaStep());
  }

  /** The path of the sample that the step of this position takes. */
  private int[] draw(Position position, long seed, double tau) {
    Program draw = supernet.draw();
    draw.set("seed", seed);
    draw.set("step", position.steps());
    draw.set("tau", tau);
    draw.run();
    float[] ones = draw.read("path");
    int candidates = supernet.space().blocks().size();
    int[] path = new int[supernet.space().layerCount()];
    for (int i = 0; i < ones.length; i++) {
      if (ones[i] == 1) {
        path[i / candidates] = i % candidates;
      }
    }
    return path;
  }

  private void unrolled(
      Program theta, Batch batch, Position position, long seed, double tau, double weightRate) {
    Program ahead = supernet.lookAhead();
    ahead.set("seed", seed);
    ahead.set("step", position.steps());
    ahead.set("tau", tau);
    ahead.set(UnrolledGraphs.LOOK_RATE, weightRate);
    theta.set(UnrolledGraphs.LOOK_RATE, weightRate);
    Batch weights = weightBatch(position.thetaSteps());
    look(ahead, weights);
    ahead.run(UnrolledGraphs.LOOK_AHEAD, NO_CHOICE);
    BatchInputs.lend(theta, batch);
    theta.run(Op.Phase.FIRST, NO_CHOICE);
    theta.run(UnrolledGraphs.MOVE_FORTH, NO_CHOICE);
    look(ahead, weights);
    theta.run(UnrolledGraphs.MOVE_BACK, NO_CHOICE);
    look(ahead, weights);
    theta.run(UnrolledGraphs.UPDATE, NO_CHOICE);
  }

  private static void look(Program ahead, Batch weights) {
    BatchInputs.lend(ahead, weights);
    ahead.run(Op.Phase.FIRST, NO_CHOICE);
  }

  /** The batch of w's images that belongs to a theta step: one after the other, round and round. */
  private Batch weightBatch(long thetaStep) {
    if (looked == null) {
      looked = new BatchRounds(weightImages.get());
    }
    if (lookedAt.size() == 2) {
      lookedAt.remove().release();
    }
    Batch batch = looked.take(thetaStep);
    lookedAt.add(batch);
    return batch;
  }

  @Override
  public void close() {
    if (looked != null) {
      looked.close();
    }
  }
}
